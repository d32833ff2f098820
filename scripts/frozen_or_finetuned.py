"""Compare frozen embeddings with a fine-tuned encoder; `python scripts/frozen_or_finetuned.py --help` says how."""

import sys

from finetuning.command import main

if __name__ == "__main__":
    sys.exit(main())
