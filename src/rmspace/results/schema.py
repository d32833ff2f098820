"""The columns of every table of results: their order, types and meaning, in this one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd


class Column(NamedTuple):
    """One column of a table of results."""

    name: str
    dtype: str  # of pandas
    meaning: str


MEASURES = (
    Column("model", "str", "name of the model or baseline"),
    Column("metric", "str", "name of the metric"),
    Column("n", "Int64", "N of Best-of-N; missing where the metric has none"),
    Column("value", "float64", "mean of the metric over prompts"),
    Column("low", "float64", "lower end of the interval over prompts"),
    Column("high", "float64", "upper end of the interval over prompts"),
    Column("n_prompts", "Int64", "prompts that the mean is over: those where the metric is defined"),
)
"""Columns of measures: one row per model, metric and n."""

FACTS = (
    Column("error_rate", "float64", "share of wrong labels, where gold rewards differ"),
    Column("mean_abs_gap", "float64", "mean absolute gold gap of the pairs, in units of reward"),
    Column("fit_seconds", "float64", "seconds that the fit took; missing for baselines"),
    Column("precision", "str", "precision that the fit used; missing where a model has none"),
    Column("device", "str", "device that the fit used; missing where a model has none"),
)
"""Columns of facts of a fit: the same in every row of a model."""

SELECTION = (Column("choose_seconds", "float64", "seconds that the rule took to choose the latest pairs"),)
"""Columns of `active_study` beside the measures and facts."""

CELL = (
    Column("status", "str", "done, failed, crashed, timeout, changed; missing where the cell has not run"),
    Column("attempts", "Int64", "how often the cell was started"),
    Column("seconds", "float64", "seconds that the cell took"),
    Column("ended", "str", "when the cell ended"),
    Column("worker", "str", "host and process that computed the cell"),
    Column("error", "str", "error of a cell that is not done, in one line"),
    Column("traceback", "str", "traceback of that error"),
    Column("train", "str", "fingerprint of the training data"),
    Column("test", "str", "fingerprint of the test data"),
    Column("key", "str", "hash of all that the numbers of the cell depend on"),
)
"""Columns of a cell of a study."""

PAIRED = (
    Column("metric", "str", "name of the metric"),
    Column("n", "Int64", "N of Best-of-N; missing where the metric has none"),
    Column("difference", "float64", "mean paired difference over prompts"),
    Column("low", "float64", "lower end of the interval over prompts"),
    Column("high", "float64", "upper end of the interval over prompts"),
    Column("p_value", "float64", "of the sign-flip test of no difference; not corrected"),
    Column("n_prompts", "Int64", "prompts that the mean is over"),
)
"""Columns of `compare`: one row per metric and n."""

SUMMARY = (
    Column("value", "float64", "mean over seeds"),
    Column("low", "float64", "lower end of the interval over seeds, or over prompts where there is one seed"),
    Column("high", "float64", "upper end of that interval"),
    Column("n_prompts", "Int64", "smallest number of prompts of any seed"),
    Column("seeds", "int64", "number of seeds that have a value"),
    Column("over", "str", "what the interval covers: seeds or prompts"),
    Column("error_rate", "float64", "mean over seeds"),
    Column("mean_abs_gap", "float64", "mean over seeds"),
)
"""Columns of `seed_means`: one row per setting, model, metric and n."""

DIFFERENCES = (
    Column("other", "object", "the value of the axis that is subtracted"),
    Column("difference", "float64", "mean paired difference over seeds"),
    Column("low", "float64", "lower end of the interval over seeds; not corrected"),
    Column("high", "float64", "upper end of that interval"),
    Column("seeds", "int64", "number of seeds that both sides have"),
    Column("p_value", "float64", "of the paired t-test; missing where all seeds give the same difference"),
    Column("p_corrected", "float64", "Holm's p-value over all rows of the table"),
)
"""Columns of `compare_models`: one row per setting and compared pair of values."""

CALIBRATION = (
    Column("model", "str", "name of the model"),
    Column("bin_low", "float64", "lower edge of the bin of probabilities"),
    Column("bin_high", "float64", "upper edge of the bin"),
    Column("predicted", "float64", "mean probability that the scores give to their own choice"),
    Column("observed", "float64", "share of these choices that won"),
    Column("low", "float64", "lower end of the interval of the share"),
    Column("high", "float64", "upper end of that interval"),
    Column("share", "float64", "share of the comparisons that the bin has, by weight"),
    Column("n_comparisons", "int64", "number of comparisons in the bin"),
)
"""Columns of `calibration_table`: one row per model and bin."""

AGREEMENT = (
    Column("annotator", "str", 'the annotator, or "all"'),
    Column("against", "str", "what the verdicts are compared with: another, majority, ceiling"),
    Column("n_verdicts", "int64", "number of verdicts on pairs that several annotators judged"),
    Column("value", "float64", "mean agreement"),
    Column("low", "float64", "lower end of the interval over prompts"),
    Column("high", "float64", "upper end of that interval"),
    Column("n_prompts", "int64", "prompts that the mean is over"),
)
"""Columns of `agreement_table`: one row per annotator and what it is compared with."""

BY_LENGTH = (
    Column("model", "str", "name of the model"),
    Column("part", "str", "part of the comparisons"),
    Column("longer_won", "float64", "share of the part in which the longer response won"),
    Column("low_difference", "float64", "smallest absolute difference of the lengths in a bin"),
    Column("high_difference", "float64", "largest absolute difference of the lengths in a bin"),
    Column("value", "float64", "accuracy in the part"),
    Column("low", "float64", "lower end of the interval over prompts"),
    Column("high", "float64", "upper end of that interval"),
    Column("n_comparisons", "int64", "number of comparisons in the part"),
)
"""Columns of `accuracy_by_length`: one row per model and part."""

BIAS = (
    Column("model", "str", "name of the model"),
    Column("feature", "str", "name of the feature"),
    Column("measure", "str", "what is measured; see bias_table"),
    Column("value", "float64", "the measure, over prompts"),
    Column("low", "float64", "lower end of the interval over prompts"),
    Column("high", "float64", "upper end of that interval"),
    Column("n_prompts", "int64", "prompts where it is defined"),
)
"""Columns of `bias_table`: one row per model, feature and measure."""

LENGTH_CONTROLLED = (
    Column("model", "str", "name of the model"),
    Column("win_rate", "float64", "mean probability to beat the baseline"),
    Column("win_rate_low", "float64", "lower end of the interval over prompts"),
    Column("win_rate_high", "float64", "upper end of that interval"),
    Column("controlled", "float64", "the same, if both responses were equally long"),
    Column("controlled_low", "float64", "lower end of the interval over prompts"),
    Column("controlled_high", "float64", "upper end of that interval"),
    Column("length_effect", "float64", "log-odds per unit of tanh of the standardised gap in length"),
    Column("n_prompts", "int64", "prompts that were judged"),
)
"""Columns of `length_controlled_table`: one row per model."""

STRESS = (
    Column("model", "str", "name of the model"),
    Column("n", "int64", "N of Best-of-N"),
    Column("without", "float64", "gold reward of Best-of-N among the responses that do not stress"),
    Column("without_low", "float64", "lower end of the interval over prompts"),
    Column("without_high", "float64", "upper end of that interval"),
    Column("with_stress", "float64", "gold reward of Best-of-N among all responses"),
    Column("with_low", "float64", "lower end of the interval over prompts"),
    Column("with_high", "float64", "upper end of that interval"),
    Column("loss", "float64", "without minus with_stress"),
    Column("loss_low", "float64", "lower end of the interval over prompts"),
    Column("loss_high", "float64", "upper end of that interval"),
    Column("taken", "float64", "share of draws in which a stressing response is taken"),
    Column("taken_low", "float64", "lower end of the interval over prompts"),
    Column("taken_high", "float64", "upper end of that interval"),
    Column("n_prompts", "int64", "prompts that the means are over"),
)
"""Columns of `stress_table`: one row per model and n."""

OVEROPTIMISATION = (
    Column("model", "str", "name of the model"),
    Column("policy", "str", "best_of_n or tilting"),
    Column("n", "Int64", "N of Best-of-N; missing for tilting"),
    Column("temperature", "float64", "temperature of tilting, in units of the score; missing for Best-of-N"),
    Column("kl", "float64", "KL divergence in nats; for tilting its mean over prompts"),
    Column("proxy", "float64", "mean gain in score over a random response, on the scale of the rewards"),
    Column("proxy_low", "float64", "lower end of the interval over prompts"),
    Column("proxy_high", "float64", "upper end of that interval"),
    Column("gold", "float64", "mean gain in gold reward over a random response"),
    Column("gold_low", "float64", "lower end of the interval over prompts"),
    Column("gold_high", "float64", "upper end of that interval"),
    Column("n_prompts", "int64", "prompts that the means are over"),
)
"""Columns of `overoptimisation_table`: one row per model, policy and n or temperature."""

OVEROPTIMISATION_FIT = (
    Column("model", "str", "name of the model"),
    Column("policy", "str", "best_of_n or tilting"),
    Column("alpha", "float64", "how fast the gold reward rises at first"),
    Column("alpha_low", "float64", "lower end of the interval over prompts"),
    Column("alpha_high", "float64", "upper end of that interval"),
    Column("beta", "float64", "how fast the rise gets weaker"),
    Column("beta_low", "float64", "lower end of the interval over prompts"),
    Column("beta_high", "float64", "upper end of that interval"),
    Column("turn", "float64", "KL in nats at which the fitted gold reward is largest; missing beyond the range"),
    Column("turn_low", "float64", "lower end of the interval over prompts; missing beyond the range"),
    Column("turn_high", "float64", "upper end of that interval; missing beyond the range"),
    Column("turns", "str", "within the range, not within the range, or not certain"),
    Column("range", "float64", "largest KL of the curve"),
    Column("fit_error", "float64", "root-mean-square difference of curve and fit, in units of reward"),
    Column("n_prompts", "int64", "prompts that the means are over"),
)
"""Columns of `overoptimisation_fit`: one row per model and policy."""

SEED, MODELS, N_PAIRS, CURRENT = "seed", "models", "n_pairs", "current"
"""Axes with a special meaning, and the column that says whether a cell belongs to the latest grid."""


def names(columns: Sequence[Column]) -> list[str]:
    """Return the names of columns, in order.

    >>> names(MEASURES)
    ['model', 'metric', 'n', 'value', 'low', 'high', 'n_prompts']
    """
    return [column.name for column in columns]


def table_of(rows: Sequence[tuple[object, ...]], columns: Sequence[Column]) -> pd.DataFrame:
    """Return rows as a table with the names and types of the columns."""
    return _with_types(pd.DataFrame(rows, columns=names(columns)), columns)


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose columns of the schema have the types of the schema; other columns stay as they are."""
    return _with_types(table, (*MEASURES, *FACTS))


def _with_types(table: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Return a table whose columns of numbers have their types; pandas takes a while even for types that are right."""
    found = table.dtypes
    wrong = {
        column.name: column.dtype
        for column in columns
        if column.dtype not in ("str", "object") and column.name in found and found[column.name] != column.dtype
    }
    return table.astype(wrong) if wrong else table


RESERVED = frozenset({*names(MEASURES), *names(FACTS), *names(SELECTION), *names(CELL), CURRENT})
"""Names that no axis of a grid may have."""
