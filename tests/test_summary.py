import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import rmspace as rm
from rmspace.results import schema, tables
from rmspace.results.compare import holm
from rmspace.results.summarize import axes_of

COLUMNS = ["annotator.beta", "seed", "model", "metric", "n", "value", "low", "high", "error_rate", "mean_abs_gap"]


def table(
    rng: np.random.Generator,
    betas: Any = (1, 10),
    seeds: Any = range(5),
    models: list[str] | tuple[str, str, str] = ("BT", "CLF", "LGB"),
    metrics: list[tuple[str, int]] | tuple[tuple[str, int], tuple[str, None]] = (("gain", 10), ("spearman", None)),
) -> pd.DataFrame:
    rows = [
        (beta, seed, model, metric, n, value, value - 1, value + 1, 1 / beta, beta * 2.0)
        for beta, seed, model, (metric, n) in itertools.product(betas, seeds, models, metrics)
        for value in [rng.normal()]
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"n": "Int64"})


def test_intervals_over_seeds_are_the_t_intervals(rng: np.random.Generator) -> None:
    rows = table(rng)
    found = rm.seed_means(rows, confidence=0.9)
    assert len(found) == 2 * 3 * 2
    for each in found.itertuples(index=False):
        size = each[3]
        chosen = rows[(rows["annotator.beta"] == each[0]) & (rows.model == each.model) & (rows.metric == each.metric)]
        assert pd.isna(size) == (each.metric == "spearman")
        expected = stats.ttest_1samp(chosen.value, 0).confidence_interval(0.9)
        assert each.value == pytest.approx(chosen.value.mean())
        assert (each.low, each.high) == pytest.approx((expected.low, expected.high))
        assert (each.seeds, each.over) == (5, "seeds")
        assert (each.error_rate, each.mean_abs_gap) == (1 / each[0], each[0] * 2)


def test_with_one_seed_the_interval_is_that_of_the_run(rng: np.random.Generator) -> None:
    rows = table(rng, seeds=[3])
    found = rm.seed_means(rows)
    assert set(found.over) == {"prompts"}
    assert found.low.tolist() == rows.low.tolist()


def test_coverage_of_the_interval_over_seeds(rng: np.random.Generator) -> None:
    found = rm.seed_means(table(rng, betas=range(1, 2001), models=["BT"], metrics=[("gain", 10)]))
    assert len(found) == 2000
    covered = ((found.low <= 0) & (found.high >= 0)).mean()
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 2000)


def test_a_seed_that_stands_twice_is_refused(rng: np.random.Generator) -> None:
    rows = table(rng)
    with pytest.raises(ValueError, match="has a seed twice"):
        rm.seed_means(pd.concat([rows, rows]))
    with pytest.raises(ValueError, match=r"confidence must be in \(0, 1\)"):
        rm.seed_means(rows, confidence=1.0)
    with pytest.raises(ValueError, match=r"confidence must be in \(0, 1\)"):
        rm.compare_models(rows, metric="gain", confidence=95)
    with pytest.raises(ValueError, match="must have a column model"):
        rm.seed_means(rows.drop(columns="model"))


def test_comparisons_are_paired_t_tests(rng: np.random.Generator) -> None:
    rows = table(rng)
    found = rm.compare_models(rows, metric="gain")
    assert len(found) == 2 * 3
    for each in found.itertuples(index=False):
        chosen = rows[(rows["annotator.beta"] == each[0]) & (rows.metric == "gain")]
        values = chosen.pivot_table(index="seed", columns="model", values="value")
        expected = stats.ttest_rel(values[each.model], values[each.other])
        interval = expected.confidence_interval()
        assert each.p_value == pytest.approx(expected.pvalue)
        assert (each.low, each.high) == pytest.approx((interval.low, interval.high))
    assert found.p_corrected.tolist() == pytest.approx(holm(found.p_value).tolist())


def test_models_in_cells_of_their_own_are_compared_too(rng: np.random.Generator) -> None:
    rows = table(rng)
    expected = rm.compare_models(rows, metric="gain")
    rows.insert(0, "models", rows.model)
    pd.testing.assert_frame_equal(rm.compare_models(rows, metric="gain"), expected)


def test_only_seeds_that_both_models_have_are_paired(rng: np.random.Generator) -> None:
    rows = table(rng, betas=[1])
    missing = rows[~((rows.model == "CLF") & (rows.seed > 1))]
    found = rm.compare_models(missing, metric="gain").set_index(["model", "other"])
    assert found.seeds.to_dict() == {("BT", "CLF"): 2, ("BT", "LGB"): 5, ("CLF", "LGB"): 2}
    assert rm.compare_models(rows[rows.seed == 0], metric="gain").empty


def test_models_that_are_equal_do_not_differ(rng: np.random.Generator) -> None:
    rows = table(rng, betas=[1], models=["BT"], metrics=[("gain", 10)])
    both = pd.concat([rows, rows.assign(model="again"), rows.assign(model="more", value=rows.value + 1)])
    found = rm.compare_models(both, metric="gain").set_index(["model", "other"]).p_value
    assert found["BT", "again"] == 1.0
    assert np.isnan(found["BT", "more"])  # every seed says 1: no spread to judge by
    rounded = pd.concat([rows.assign(value=0.1 + 0.2), rows.assign(model="again", value=0.3)])
    assert rm.compare_models(rounded, metric="gain").p_value.tolist() == [1.0]


def test_axes_may_stand_anywhere(rng: np.random.Generator) -> None:
    rows = table(rng)
    moved = rows[[*COLUMNS[2:], "seed", "annotator.beta"]]
    pd.testing.assert_frame_equal(rm.seed_means(moved)[rm.seed_means(rows).columns], rm.seed_means(rows))


def test_settings_with_a_missing_label_are_kept(rng: np.random.Generator) -> None:
    rows = table(rng, betas=[1, 2]).astype({"annotator.beta": object})
    rows.loc[rows["annotator.beta"] == 2, "annotator.beta"] = None
    assert len(rm.compare_models(rows, metric="gain")) == 6
    assert len(rm.seed_means(rows)) == 12


def test_the_interval_of_the_seed_that_is_there(rng: np.random.Generator) -> None:
    rows = table(rng, betas=[1], seeds=range(3), models=["BT"], metrics=[("gain", 10)])
    rows.loc[rows.seed < 2, "value"] = np.nan
    found = rm.seed_means(rows).iloc[0]
    assert (found.seeds, found.low, found.high) == (1, *rows[rows.seed == 2][["low", "high"]].iloc[0])


def test_the_largest_n_is_one_that_all_settings_have(rng: np.random.Generator) -> None:
    wide = table(rng, betas=[1], metrics=[("gain", 50), ("gain", 500)])
    narrow = table(rng, betas=[2], metrics=[("gain", 50)])
    assert rm.compare_models(pd.concat([wide, narrow]), metric="gain")["annotator.beta"].tolist() == [1, 1, 1, 2, 2, 2]
    apart = pd.concat([wide[wide.n == 500], narrow])
    with pytest.raises(ValueError, match=r"no n that all settings have; choose one of \[50, 500\]"):
        rm.compare_models(apart, metric="gain")


def test_a_models_axis_with_baselines_and_with_blocks(rng: np.random.Generator) -> None:
    rows = table(rng, betas=[1], models=["BT", "CLF", "best"])
    own = rows[rows.model != "best"]
    cells = [own.assign(models=own.model)]
    cells += [rows[rows.model == "best"].assign(models=name) for name in ("BT", "CLF")]
    found = rm.compare_models(pd.concat(cells), metric="gain")
    pd.testing.assert_frame_equal(found, rm.compare_models(rows, metric="gain"))
    blocks = [table(rng, betas=[1], models=["BT", "CLF"]).assign(models=size) for size in ("small", "large")]
    found = rm.compare_models(pd.concat(blocks), metric="gain")
    assert set(found.model) | set(found.other) == {"small BT", "small CLF", "large BT", "large CLF"}
    assert len(found) == 6


def test_metrics_that_are_not_there(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=r"no metric 'gian'; it has \['gain', 'spearman'\]"):
        rm.compare_models(table(rng), metric="gian")
    with pytest.raises(ValueError, match=r"has gain at n = \[10\]; got 5"):
        rm.compare_models(table(rng), metric="gain", n=5)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_its_definition_rejects(p: list[float]) -> None:
    corrected = holm(p)
    for alpha in (0.01, 0.05, 0.3):
        rejected = set()
        for step, k in enumerate(sorted(range(len(p)), key=lambda k: p[k])):
            if p[k] * (len(p) - step) > alpha:
                break
            rejected.add(k)
        assert {k for k in range(len(p)) if corrected[k] <= alpha} == rejected


def test_values_of_another_axis_are_compared_within_each_model(rng: np.random.Generator) -> None:
    rows = table(rng)
    found = rm.compare_models(rows, metric="gain", axis="annotator.beta")
    assert found.model.tolist() == ["BT", "CLF", "LGB"]
    for each in found.itertuples(index=False):
        chosen = rows[(rows.model == each.model) & (rows.metric == "gain")]
        values = chosen.pivot_table(index="seed", columns="annotator.beta", values="value")
        expected = stats.ttest_rel(values[1], values[10])
        assert each.p_value == pytest.approx(expected.pvalue)
    with pytest.raises(ValueError, match=r"axis must be one of annotator.beta, model; got 'pairs'"):
        rm.compare_models(rows, metric="gain", axis="pairs")


def test_a_missing_value_of_an_axis_is_compared_too(rng: np.random.Generator) -> None:
    rows = table(rng).rename(columns={"annotator.beta": "patience"})
    rows["patience"] = rows.patience.where(rows.patience == 1).astype("Int64")
    assert len(rm.compare_models(rows, metric="gain", axis="patience")) == 3
    assert len(rm.compare_models(rows, metric="gain", axis="patience", against=1)) == 3


def test_keys_that_determine_each_other_are_one_axis(rng: np.random.Generator) -> None:
    rows = table(rng).assign(pairs=lambda found: found["annotator.beta"].map({1: "same", 10: "cross"}))
    found = rm.compare_models(rows, metric="gain", axis="pairs")
    expected = rm.compare_models(table_of(rows), metric="gain", axis="annotator.beta")
    assert found.difference.tolist() == expected.difference.tolist()
    assert len(found) == 3


def table_of(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop(columns="pairs")


def test_comparisons_with_one_model_alone(rng: np.random.Generator) -> None:
    rows = table(rng)
    every = rm.compare_models(rows, metric="gain")
    found = rm.compare_models(rows, metric="gain", against="LGB")
    expected = every[every.other == "LGB"].drop(columns="p_corrected").reset_index(drop=True)
    pd.testing.assert_frame_equal(found.drop(columns="p_corrected"), expected)
    assert found.p_corrected.tolist() == pytest.approx(holm(expected.p_value).tolist())
    with pytest.raises(ValueError, match="against must be a value of model"):
        rm.compare_models(rows, metric="gain", against="none")


def test_random_splits_of_one_bank_need_their_overlap(rng: np.random.Generator) -> None:
    """Means of random test thirds of one sample: the plain interval is too short, the corrected one is not."""
    rows = []
    for bank in range(200):
        prompts = rng.normal(size=90)
        values = [rng.permutation(prompts)[:30].mean() for _ in range(6)]
        for model, some in (("BT", values), ("CLF", np.zeros(6))):
            rows += [(bank, seed, model, "gain", 9, value, 0, 1, 0, 1) for seed, value in enumerate(some)]
    frame = pd.DataFrame(rows, columns=["bank", *COLUMNS[1:]])
    covered = {}
    for overlap in (0.0, 0.5):
        found = rm.compare_models(frame, metric="gain", overlap=overlap)
        assert len(found) == 200
        covered[overlap] = ((found.low <= 0) & (found.high >= 0)).sum()
    means = rm.seed_means(frame[frame.model == "BT"], overlap=0.5)
    np.testing.assert_allclose(means[["low", "high"]], found[["low", "high"]])
    assert covered[0.0] < 0.85 * 200
    assert covered[0.5] > 0.91 * 200
    with pytest.raises(ValueError, match="overlap must be"):
        rm.compare_models(frame, metric="gain", overlap=-0.1)


def test_a_seed_of_the_data_that_belongs_to_the_seed_is_no_axis_of_its_own(rng: np.random.Generator) -> None:
    rows = table(rng)
    along = rows.assign(**{"data.seed": rows.seed + 100})
    pd.testing.assert_frame_equal(rm.seed_means(along), rm.seed_means(rows))
    pd.testing.assert_frame_equal(rm.compare_models(along, metric="gain"), rm.compare_models(rows, metric="gain"))
    few = rows.assign(**{"data.seed": rows.seed // 2})  # two seeds with the same data are not two draws of the data
    assert "data.seed" in rm.seed_means(few).columns
    crossed = pd.concat([rows.assign(**{"data.seed": k}) for k in (0, 1)])
    assert len(rm.seed_means(crossed)) == 2 * len(rm.seed_means(rows))


def test_the_smallest_number_of_prompts_is_kept(rng: np.random.Generator) -> None:
    rows = table(rng, betas=[1], models=["BT"], metrics=[("gain", 10)]).assign(n_prompts=[40, 38, 41, 40, 39])
    assert rm.seed_means(rows).n_prompts.tolist() == [38]
    assert rm.compare_models(pd.concat([rows, rows.assign(model="CLF")]), metric="gain").columns[0] == "annotator.beta"
    assert "n_prompts" not in rm.seed_means(rows.drop(columns="n_prompts")).columns


def test_tables_of_evaluate_are_averaged_over_seeds(rng: np.random.Generator) -> None:
    rewards = rng.normal(size=(12, 4))
    runs = [rm.evaluate(rng.normal(size=(12, 4)), rewards, n=4).assign(seed=seed) for seed in range(3)]
    found = rm.seed_means(pd.concat(runs)).set_index("metric")
    values = [each.set_index("metric").value["best_of_n"] for each in runs]
    assert found.value["best_of_n"] == pytest.approx(np.mean(values))
    assert list(found.columns) == ["model", "n", "value", "low", "high", "n_prompts", "seeds", "over"]


def test_names_of_the_schema_are_no_axes() -> None:
    columns = ["pairs", "seed", *schema.names(schema.MEASURES), *schema.names(schema.FACTS)]
    assert axes_of(pd.DataFrame(columns=columns)) == ["pairs", "seed"]


def test_values_that_equal_and_determine_each_other() -> None:
    rows = pd.DataFrame({"a": [1.0, None, None, 2.0], "b": ["x", "y", "y", "x"], "c": [1, 2, 3, 4]})
    assert tables.equal(rows.a, None).tolist() == [False, True, True, False]
    assert tables.equal(rows.a, 2.0).tolist() == [False, False, False, True]
    assert tables.determined_by(rows, "b", "a")
    assert not tables.determined_by(rows, "a", "b")
    assert tables.determined_by(rows, "a", "c")
    assert tables.values_of(rows, "b") == ["x", "y"]
    assert tables.values_of(rows, None) == [""]
