"""One module per command: its line of help `HELP`, its arguments `add_arguments(parser)`, and `run(options)`.

The name of the module is the name of the command. Each imports what it needs when it runs, so that `--help` is quick.
"""
