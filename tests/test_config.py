# ruff: noqa: E501
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rmspace as rm
from rmspace.config import ConfigError, dump_yaml, load_config
from rmspace.config.build import Experiment
from rmspace.config.node import as_node, read_config

BASE = """\
data: {use: make_synthetic_banks, n_prompts: 50, n_test_prompts: 10, dim: 32}
pairs: {use: same_prompt}
n_pairs: 100
annotator: {use: logistic, beta: 1}
models:
  BT:
    use: MLPReward
    learning_rate: 1e-3
    objective: {use: hinge, margin: 2}
seed: 0
"""


Load = Callable[..., Experiment]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(text: str = BASE, *overrides: str) -> Experiment:
        (tmp_path / "a.yaml").write_text(textwrap.dedent(text))
        return load_config(tmp_path / "a.yaml", overrides)

    return load


def changed(old: str, new: str) -> str:
    assert old in BASE
    return BASE.replace(old, new)


def test_objects(load: Load) -> None:
    options = load().options
    model = options["models"]["BT"]
    assert isinstance(model, rm.MLPReward)
    assert model.learning_rate == 1e-3
    assert isinstance(model.objective, partial)
    assert model.objective.func is rm.hinge
    assert model.objective.keywords == {"margin": 2.0}
    assert options["pairs"] is rm.same_prompt
    assert options["annotator"].keywords == {"beta": 1.0}
    train, test = load().data()
    assert (train.n_prompts, test.n_prompts, train.dim) == (50, 10, 32)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (changed("n_pairs: 100", "n_pair: 100"), 3, "n_pair: unknown key; did you mean n_pairs?"),
        (changed("learning_rate", "learing_rate"), 8, "models.BT.learing_rate: unknown key of MLPReward; did you mean learning_rate?"),
        (changed("use: MLPReward", "use: MLPRewards"), 7, "models.BT.use: there is no reward model 'MLPRewards'; did you mean MLPReward?"),
        (changed("n_pairs: 100", "n_pairs: 1e2"), 3, "n_pairs: must be a whole number or nothing (null); got 100.0"),
        (changed("n_pairs: 100", "n_pairs: true"), 3, "n_pairs: must be a whole number or nothing (null); got True"),
        (changed("n_pairs: 100", "n_pairs: '100'"), 3, "n_pairs: must be a whole number or nothing (null); got '100'"),
        (changed("n_pairs: 100", "n_pairs: 100\nn_pairs: 200"), 4, "n_pairs: the key stands twice; the first is in line 3"),
        (changed("same_prompt}", "same_prompt, repeats: no}"), 2, "pairs.repeats: must be true or false; got 'no'"),
        (changed("beta: 1}", "beta: one}"), 4, "annotator.beta: must be a number; got 'one'"),
        (changed(", beta: 1}", "}"), 4, "annotator: logistic needs the key beta"),
        (changed("beta: 1}", "beta: 1, gap: 2}"), 4, "annotator.gap: is filled in by the run"),
        (changed("{use: hinge, margin: 2}", "hinge"), 9, "models.BT.objective: must be a function, written {use: its_name}; got 'hinge'"),
        (changed("{use: hinge, margin: 2}", "{use: hinge, margins: 2}"), 9, "models.BT.objective.margins: unknown key of hinge; did you mean margin?"),
        (changed("    use: MLPReward\n", ""), 6, "models.BT: must be a block {use: name, ...}"),
        (changed("data: {use: make_synthetic_banks, ", "data: {use: my.own_banks, "), 1, "data.use: my is not rmspace, scikit-learn or a module beside the config"),
        (changed("make_synthetic_banks, n_prompts: 50, n_test_prompts: 10, dim: 32", "open_banks, train: nowhere, test: b"), 1, "data.train: must be a path that exists"),
        (changed("seed: 0", "seed: !!python/object/apply:os.system [ls]"), 10, "the tag !!python/object/apply:os.system is not allowed"),
        (changed("seed: 0", "seed: [0"), 11, "not valid YAML"),
        (changed("seed: 0", "reward_scale: big"), 10, "reward_scale: must be a number or 'std'; got 'big'"),
        (changed("use: same_prompt", "use: spearman"), 2, "pairs.use: spearman is a metric, not a pair strategy; pair strategies are cross_prompt, same_prompt"),
        (changed("beta: 1}", "beta: -1}"), 4, "annotator: beta must be at least 0.0; got -1"),
        (changed("    use: MLPReward\n    learning_rate: 1e-3\n    objective: {use: hinge, margin: 2}", "    use: hinge"), 7, "models.BT.use: hinge is an objective, not a reward model; reward models are"),
        (changed("use: same_prompt", "use: .x"), 2, "pairs.use: '.x' is not a dotted path"),
        (changed("use: same_prompt", "use: builtins.max"), 2, "pairs.use: builtins is not rmspace, scikit-learn or a module beside the config"),
        (changed("seed: 0", "metrics: {}"), 10, "metrics: must be a block of names"),
        (changed("seed: 0", "<<: {seed: 1}"), 10, "merge keys"),
        (changed("seed: 0", "confidence: .inf\nn: [1, yes]"), 11, "n: must be"),
        (changed("pairs: {use: same_prompt}\n", ""), 1, "the key pairs is missing"),
        (changed("models:", "models: {}\nmodel:"), 6, "model: unknown key; did you mean models?"),
        ("- 1", 1, "must be a mapping"),
    ],
)  # fmt: skip
def test_one_clear_line(load: Load, tmp_path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    error = str(caught.value)
    assert "\n" not in error
    assert error.startswith(f"{tmp_path / 'a.yaml'}:{line}: ")
    assert message in error


def test_alias_bombs_and_circles_are_refused(load: Load) -> None:
    bomb = "\n".join(
        ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
        + [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 9)]
    )
    with pytest.raises(ConfigError, match="at most 20000 values, each use of an alias counted"):
        load(bomb)
    with pytest.raises(ConfigError, match="no alias that contains itself"):
        load("a: &a [*a]")
    with pytest.raises(ConfigError, match="nested too deeply"):
        load("a: " + "[" * 1000 + "]" * 1000)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml: cannot be read"):
        load_config(tmp_path / "nothing.yaml")


def test_overrides(load: Load) -> None:
    experiment = load(
        BASE, "n_pairs=7", "models.BT.hidden_sizes=[8, 8]", "annotator={use: oracle}",
        "pairs.candidates.use=similar", "models.lin.use=LinearReward",
    )  # fmt: skip
    assert experiment.options["n_pairs"] == 7
    assert experiment.options["models"]["BT"].hidden_sizes == [8, 8]
    assert experiment.options["annotator"] is rm.oracle
    assert experiment.options["pairs"].keywords == {"candidates": rm.similar}
    assert isinstance(experiment.options["models"]["lin"], rm.LinearReward)
    for override, message in (
        ("models.v1.0.alpha=3", "models.v1: must be a block"),
        ("n_pairs", "command line: n_pairs: an override must be key.path=value"),
        ("n_pair=3", "command line: n_pair=3: n_pair: unknown key"),
        ("n_pairs.x=3", "n_pairs is a value, not a block"),
        ("n_pairs=[", "command line: n_pairs=[:1: not valid YAML"),
        ("models.BT.patience=0.5", "models.BT.patience: must be a whole number; got 0.5"),
    ):
        with pytest.raises(ConfigError) as caught:
            load(BASE, override)
        assert message in str(caught.value)


def test_overrides_of_names_with_dots(load: Load) -> None:
    text = changed("  BT:", "  v1.0:")
    assert load(text, "models.v1.0.patience=7").options["models"]["v1.0"].patience == 7


def test_paths_of_user_functions_start_at_the_config_folder(load: Load, tmp_path: Path) -> None:
    (tmp_path / "reader_for_tests.py").write_text(
        "from pathlib import Path\nimport rmspace as rm\n\n"
        "def banks(folder: Path):\n    assert isinstance(folder, Path) and folder.is_dir()\n"
        "    return rm.make_synthetic_banks(50, 20, 4, 32)\n"
    )
    (tmp_path / "mine").mkdir()
    data = BASE.split("\n")[0]
    text = changed(data, "data: {use: reader_for_tests.banks, folder: mine}")
    experiment = load(text)
    assert experiment.resolved["data"]["folder"] == str(tmp_path / "mine")
    train, _ = experiment.data()
    assert train.n_prompts == 50
    with pytest.raises(ConfigError, match=r"data\.folder: must be a path that exists"):
        load(text.replace("mine", "nothing"))


def test_user_modules_from_the_config_folder(load: Load, tmp_path: Path) -> None:
    (tmp_path / "mine_for_tests.py").write_text(
        "def square(winner, loser, *, margin: float = 1.0):\n    return (margin - winner + loser).square()\n"
        "def top(scores, rewards):\n    return rewards.max(axis=1)\n"
    )
    before = list(sys.path)
    text = changed("{use: hinge, margin: 2}", "{use: mine_for_tests.square, margin: 2}")
    experiment = load(text + "metrics: {top: {use: mine_for_tests.top}}\n")
    assert experiment.options["models"]["BT"].objective.func.__name__ == "square"
    assert list(experiment.modules) == ["mine_for_tests"]
    assert sys.path[: len(before)] == before  # the folder comes last, so it shadows nothing
    with pytest.raises(ConfigError, match=r"has no 'squar'; did you mean square\?"):
        load(changed("{use: hinge, margin: 2}", "{use: mine_for_tests.squar}"))
    with pytest.raises(ConfigError, match=r"objective\.margin: must be a number; got 'x'"):
        load(changed("{use: hinge, margin: 2}", "{use: mine_for_tests.square, margin: x}"))


def test_a_broken_user_module_is_named_with_its_place(load: Load, tmp_path: Path) -> None:
    (tmp_path / "broken_for_tests.py").write_text("def f(:\n")
    with pytest.raises(ConfigError, match=r"a\.yaml:9: models\.BT\.objective\.use: cannot import .*SyntaxError"):
        load(changed("{use: hinge, margin: 2}", "{use: broken_for_tests.f}"))
    (tmp_path / "json.py").write_text("def f(w, o):\n    return w\n")
    with pytest.raises(ConfigError, match=r"json\.py cannot be imported: .* has its name; rename your module"):
        load(changed("{use: hinge, margin: 2}", "{use: json.f}"))


def test_third_party_estimators(load: Load) -> None:
    text = """
    data: {use: make_synthetic_banks}
    pairs: {use: same_prompt}
    n_pairs: 100
    annotator: {use: oracle}
    models:
      forest: {use: ClassifierReward, estimator: {use: sklearn.ensemble.RandomForestClassifier, max_depth: 3}}
      pipe:
        use: sklearn.pipeline.Pipeline
        steps: [[norm, {use: sklearn.preprocessing.Normalizer}], [lin, {use: LinearReward}]]
      ten: {use: EnsembleReward, member: {use: LinearReward}, reduce: {use: lower_confidence, k: 2}, bootstrap: true}
    """
    models = load(text).options["models"]
    assert models["forest"].estimator.max_depth == 3
    assert isinstance(models["pipe"].steps[1][1], rm.LinearReward)
    assert models["ten"].reduce.keywords == {"k": 2.0}


def test_resolved_config_says_the_same(load: Load, tmp_path: Path) -> None:
    first = load(BASE, "n_pairs=50")
    (tmp_path / "again.yaml").write_text(dump_yaml(first.resolved))
    second = load_config(tmp_path / "again.yaml")
    assert second.resolved == first.resolved
    assert first.resolved["models"]["BT"]["batch_size"] == 512
    assert first.resolved["n_pairs"] == 50


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Co", "Cn"])) | st.sampled_from(["no", "1e-3", "on", "0o7", "~", ".inf", "2020-01-01", "1_0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abyn", min_size=1), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text("abyn", min_size=1), plain))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_back(tmp_path: Path, data: dict[str, Any]) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(dump_yaml(data), encoding="utf-8")
    assert read_config(path).plain() == data


keys = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(tuple)
scalars = st.integers() | st.text(max_size=2)


@given(st.lists(st.tuples(keys, scalars), max_size=8), keys, scalars)
@settings(max_examples=100, deadline=None)
def test_a_tree_changes_as_nested_dicts_do_and_the_old_one_stays(
    settings_before: list[Any], key: tuple[Any, ...], value: int | str
) -> None:
    tree, expected = as_node({}, place="file:1", folder=Path()), dict[str, Any]()
    for at, what in settings_before:
        if put_in(expected, at, what):
            tree = tree.put(at, as_node(what, place="file:2", folder=Path()))
    before = tree.plain()
    assert before == expected
    node = as_node(value, place="command line", folder=Path("elsewhere"))
    if put_in(expected, key, value):
        changed_tree = tree.put(key, node)
        assert changed_tree.plain() == expected
        found = changed_tree
        for name in key:
            found = found[name]
        assert (found.key, found.place, found.folder) == (key, "command line", Path("elsewhere"))
        assert all(each.key[:-1] == changed_tree.key or len(each.key) > 1 for each in list(changed_tree.walk())[1:])
    else:
        with pytest.raises(ConfigError, match="is a value, not a block"):
            tree.put(key, node)
    assert tree.plain() == before


def put_in(data: dict[str, Any], key: tuple[Any, ...], value: int | str) -> bool:
    """Put a value into nested dicts; return False, with nothing changed, where a value stands in the way."""
    block = data
    for name in key[:-1]:
        block = block.get(name, {})
        if not isinstance(block, dict):
            return False
    block = data
    for name in key[:-1]:
        block = block.setdefault(name, {})
    block[key[-1]] = value
    return True


WRONG_KINDS = [
    ("annotator={use: minimum}", "annotator.use: minimum is a reduction, not an annotator; annotators are lapse, logistic, oracle, probit"),
    ("pairs={use: compare}", "pairs.use: compare is something else in rmspace, not a pair strategy; pair strategies are cross_prompt, same_prompt"),
    ("metrics={x: {use: random_response}}", "metrics.x.use: random_response is a baseline, not a metric; metrics are "),
    ("models={x: {use: bradley_terry}}", "models.x.use: bradley_terry is an objective, not a reward model; reward models are "),
    ("models.BT.objective={use: spearman}", "models.BT.objective.use: spearman is a metric, not an objective; objectives are "),
    ("pairs.candidates={use: oracle}", "pairs.candidates.use: oracle is an annotator, not a choice of candidates; "),
    ("models.x={use: EnsembleReward, reduce: {use: gain}}", "models.x.reduce.use: gain is a metric, not a reduction; "),
    ("models.x={use: EnsembleReward, member: {use: mean}}", "models.x.member.use: mean is a reduction, not a reward model; "),
    ("models.x={use: EnsembleReward, member: 3}", "models.x.member: must be a reward model"),
    ("data={use: LinearReward}", "data.use: LinearReward is a reward model, not a reader; readers are "),
    ("data={use: read_generators}", "read_generators"),
    ("annotator={use: rmspace.reductions.minimum}", "rmspace.reductions.minimum is a reduction, not an annotator"),
    ("annotator={use: rmspace.study.run.run_study}", "rmspace.study.run.run_study is not for configs; they can use readers, "),
    ("data={use: rmspace.cli.main.main, arguments: [study, x, --allow, os]}", "rmspace.cli.main.main is not for configs"),
    ("data={use: rmspace.data.files.TemporaryDirectory}", "has no 'TemporaryDirectory'"),
    ("metrics={x: {use: rmspace.data.files.contextmanager}}", "is not a part of rmspace; it only passes through there"),
    ("models.x={use: sklearn.linear_model.LogisticRegression}", "LogisticRegression is an estimator of scikit-learn; a classifier becomes"),
    ("annotator={use: sklearn.linear_model.LogisticRegression}", "is an estimator, not an annotator"),
    ("models.x={use: sklearn.metrics.accuracy_score}", "is not an estimator of scikit-learn"),
    ("models.x={use: sklearn.pipeline.Pipeline, steps: [[a, {use: sklearn.preprocessing.Normalizer}]]}", "must be a reward model, with fit and predict"),
]  # fmt: skip


@pytest.mark.parametrize(("override", "message"), WRONG_KINDS, ids=[case[0] for case in WRONG_KINDS])
def test_a_name_of_the_wrong_kind_is_an_error_when_the_config_is_read(load: Load, override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(BASE, override)
    assert str(caught.value).startswith(f"command line: {override}: ")
    assert message in str(caught.value)


def test_a_dotted_name_of_the_right_kind_is_accepted(load: Load) -> None:
    experiment = load(
        BASE,
        "annotator={use: rmspace.annotators.oracle}",
        "models={own: {use: rmspace.paper.protocol.ProtocolMLPReward}}",
    )
    assert experiment.options["annotator"] is rm.oracle


def test_other_code_runs_only_where_it_is_allowed(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    touch = tmp_path / "ran"
    load()
    for data in (f"{{use: os.system, command: touch {touch}}}", f"{{use: subprocess.getoutput, cmd: touch {touch}}}"):
        with pytest.raises(ConfigError, match=r"is not rmspace, scikit-learn or a module beside the config.*--allow"):
            load_config(path, [f"data={data}"])
    assert not touch.exists()
    override = "metrics={x: {use: fractions.gcd_of_two}}"
    with pytest.raises(ConfigError, match="add --allow fractions"):
        load_config(path, [override])
    with pytest.raises(ConfigError, match="fractions has no 'gcd_of_two'"):  # so it was imported
        load_config(path, [override], allow=["fractions"])
    allowed = load_config(path, ["models={x: {use: ClassifierReward, estimator: {use: lightgbm.LGBMClassifier}}}"],
                          allow=["lightgbm"])  # fmt: skip
    assert type(allowed.options["models"]["x"].estimator).__name__ == "LGBMClassifier"
    with pytest.raises(ConfigError, match="xml is not rmspace"):
        load_config(path, ["metrics={x: {use: xml.dom.f}}"], allow=["xml.sax"])  # another part of the package


PREFERENCES = """\
data: {use: open_preferences, train: a, test: b}
models:
  BT: {use: LinearReward}
"""


@pytest.fixture
def preferences(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        items = rng.normal(size=(40, 4)).astype(np.float32)
        order = items.reshape(20, 2, 4)[:, :, 0].argsort(axis=1)[:, ::-1]  # the first number decides
        comparisons = np.arange(0, 40, 2)[:, None] + order
        groups = [f"{name}{k // 2}" for k in range(40)]
        rm.Preferences(items, comparisons, groups, margin=rng.random(20)).save(tmp_path / name)
    return tmp_path


def test_preferences_take_no_pairs_and_no_annotator(load: Load, preferences: Path) -> None:
    experiment = load(PREFERENCES)
    assert list(experiment.options) == ["models"]
    train, test = experiment.data()
    table = rm.run(train=train, test=test, **experiment.options)
    accuracy = table[table.metric == "accuracy"].value.iloc[0]
    assert accuracy > 0.8
    assert load(dump_yaml(experiment.resolved)).resolved == experiment.resolved
    assert load(PREFERENCES, "n_pairs=5").options["n_pairs"] == 5
    for override, message in (
        ("annotator={use: oracle}", "the key pairs is missing"),
        ("data={use: make_synthetic_banks}", "make_synthetic_banks gives banks"),
    ):
        with pytest.raises(ConfigError, match=message):
            load(PREFERENCES, override)
    with pytest.raises(ConfigError, match="open_preferences gives preferences, which are judged already"):
        load(BASE, "data={use: open_preferences, train: a, test: b}", f"data.train={preferences}/a",
             f"data.test={preferences}/b")  # fmt: skip


def test_an_objective_takes_columns_of_preferences_by_name(load: Load, preferences: Path, tmp_path: Path) -> None:
    (tmp_path / "column_for_tests.py").write_text(
        "seen = []\n"
        "def wide(winner, loser, margin):\n    seen.append(margin)\n    return (margin - winner + loser).square()\n"
    )
    text = PREFERENCES.replace("{use: LinearReward}", "{use: LinearReward, objective: {use: column_for_tests.wide}}")
    experiment = load(text)
    train, test = experiment.data()
    assert isinstance(train, rm.Preferences)
    rm.run(train=train, test=test, **experiment.options)
    seen = sys.modules["column_for_tests"].seen
    np.testing.assert_allclose(np.sort(seen[0].numpy()), np.sort(train.columns["margin"]), rtol=1e-6)
    with pytest.raises(ConfigError, match="wide needs the key margin"):  # a bank has no columns
        load(changed("{use: hinge, margin: 2}", "{use: column_for_tests.wide}"))


OWN = """\
import numpy as np
import rmspace as rm
from rmspace.models.linear import LinearReward

def banks(size: int, seed: int = 0):
    return rm.make_synthetic_banks(size, 20, 4, 16, seed=seed)

def neighbours(bank, n_pairs, rng):
    first = rng.choice(bank.n_prompts, n_pairs) * bank.n_responses
    return np.stack([first, first + 1], axis=1)

def coin(gap, *, bias: float = 0.5):
    return np.where(gap > 0, bias, 1 - bias)

def square(winner, loser, *, margin: float = 1.0):
    return (margin - winner + loser).square()

def top(scores, rewards):
    return np.take_along_axis(rewards, scores.argmax(axis=1)[:, None], axis=1)[:, 0]

def first_response(train, test):
    return -np.tile(np.arange(4.0), (test.n_prompts, 1))

class OfConfig(LinearReward):
    pass
"""


def test_each_kind_may_come_from_a_module_beside_the_config(load: Load, tmp_path: Path) -> None:
    (tmp_path / "kinds_for_tests.py").write_text(OWN)
    experiment = load(
        """
        data: {use: kinds_for_tests.banks, size: 50}
        pairs: {use: kinds_for_tests.neighbours}
        n_pairs: 40
        annotator: {use: kinds_for_tests.coin, bias: 0.9}
        models:
          own: {use: kinds_for_tests.OfConfig, objective: {use: kinds_for_tests.square, margin: 2}}
        metrics: {top: {use: kinds_for_tests.top}}
        baselines: {first: {use: kinds_for_tests.first_response}}
        """
    )
    train, test = experiment.data()
    assert isinstance(test, rm.ResponseBank)
    models: dict[str, Any] = {}
    table = rm.run(train=train, test=test, **experiment.options, on_fit=models.__setitem__)
    values = table.set_index("model").value
    assert values["first"] == pytest.approx(test.rewards[:, 0].mean())
    scores = models["own"].predict(test.items).reshape(test.rewards.shape)
    assert values["own"] == pytest.approx(test.rewards[np.arange(20), scores.argmax(axis=1)].mean())
    rm.save(models["own"], tmp_path / "model")
    again = rm.load(tmp_path / "model")
    assert type(again) is sys.modules["kinds_for_tests"].OfConfig
    np.testing.assert_array_equal(again.predict(test.items), models["own"].predict(test.items))
