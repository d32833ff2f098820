"""The data of the section `coin`: labels that teach nothing, and pairs to test on."""

import numpy as np
import worlds

import rmspace as rm

N_PAIRS = 20_000  # of the test prompts, at most


def tossed(
    world: str,
    *,
    folder: str,
    beta: float,
    feedback: str = "coin",
    n_comparisons: int = 1500,
    test_share: float = 0.25,
    seed: int = 0,
) -> tuple[rm.Preferences, rm.Preferences]:
    """Return comparisons that a coin decided, and pairs of test responses in which the higher reward wins.

    A model of such labels is right in half of the pairs, in the mean over coins: the opposite labels are as likely, and
    give the opposite model. Its Best-of-4 would not have to be 0, because a direction and its opposite both choose
    extreme responses, which can be worse than the mean.

    Args:
        world, folder, beta, feedback, n_comparisons, test_share, seed: as in `worlds.judged`.
    """
    train, bank = worlds.judged(
        world,
        folder=folder,
        feedback=feedback,
        beta=beta,
        n_comparisons=n_comparisons,
        test_share=test_share,
        seed=seed,
    )
    assert isinstance(bank, rm.ResponseBank)
    rewards, counts = np.asarray(bank.item_rewards), bank.counts
    pairs = rm.same_prompt(
        bank, min(N_PAIRS, int((counts * (counts - 1) // 2).sum())), np.random.default_rng([seed, 18])
    )
    gap = rewards[pairs[:, 0]] - rewards[pairs[:, 1]]
    ordered = np.where((gap > 0)[:, None], pairs, pairs[:, ::-1])[gap != 0]
    length = np.ravel(bank.features["length"])
    return train, rm.Preferences(
        bank.items, ordered, np.repeat(bank.prompt_ids, bank.counts), features={"length": length}
    )
