"""The comparison of uncertainties, on toy models that are trained in seconds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import uncertainty
from benchmarks.evidential import EVIDENTIAL, HEADS_ALONE, measures
from benchmarks.reading import Data, Read, read
from benchmarks.seeds import seed_of, spread
from benchmarks.softmax import RULES, Beliefs, Chosen, beliefs, best_temperature, certainty, dropped_out, probability
from benchmarks.uncertainty import WAYS, Baseline, checked, choose, measured
from benchmarks.views import context_nu, evidence, shuffled, views
from cli.training.typed import typed
from core.errors import UserError
from model.checkpoint import TOKENIZER, WEIGHTS, Temperatures, write_config
from model.design import TWO_VIEWS, Design
from model.evidence import NIG
from model.extractor import Extractor
from model.mentions import Prediction, Span
from model.predictor import Predictor, decode
from model.training.calibrate import fit_density
from model.training.config import OptimisationConfig
from model.training.corpus import Example
from model.training.encoder import pretrained
from model.training.evaluate import OodScore, out_of_distribution, predict, tweet_uncertainties
from model.training.scores import scoreboard
from model.training.train import Trainer, items
from tests.model.toys import bert, examples, save

PLAIN = Design(views=("text",), evidence=False, chain=False)
TWEETS = [replace(each, caption="a city" if place % 2 else "portrait") for place, each in enumerate(examples(24))]
OOD = [Example(str(place), ("http", "in", *["portrait"] * place), ("O",) * (place + 2)) for place in range(6)]
DATA = Data("toy2017", TWEETS[:12], TWEETS[12:], OOD[:3], OOD[3:])


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Uses one thread: so small a network is slower with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("encoder"), bert)


@cache
def toy(folder: Path, design: Design, seed: int = 0) -> Extractor:
    """Returns a network that was trained briefly, so that it finds mentions and makes errors."""
    network, tokenizer = pretrained(str(folder), seed, design)
    config = OptimisationConfig(epochs=2, seed=seed, encoder_rate=5e-3, head_rate=1e-2, batch_tokens=128)
    training = Trainer(network, items(examples(32), tokenizer), tokenizer, config, "cpu")
    while not training.finished:
        training.run_epoch(lambda done, value: None)
    network.density = fit_density(network.eval(), tokenizer, examples(32), "cpu")
    return Extractor(tokenizer, training.predictor())


@pytest.fixture
def plain(folder: Path) -> Extractor:
    return toy(folder, PLAIN)


@pytest.fixture
def evidential(folder: Path) -> Extractor:
    return toy(folder, TWO_VIEWS)


def probabilities(predictions: list[Prediction]) -> list[float]:
    return [span.probability for each in predictions for span in each.spans]


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_the_probability_of_a_whole_mention_is_that_of_the_decoder(plain: Extractor, temperature: float) -> None:
    reading = read(plain, TWEETS, captions=False)
    chance = torch.Generator().manual_seed(0)
    logs = [torch.randn(output.together.gamma.shape, generator=chance) for output in reading.outputs]
    same = [NIG(scores, *[torch.ones_like(scores)] * 3) for scores in logs]
    outputs = [replace(each, views=[nig], together=nig) for each, nig in zip(reading.outputs, same, strict=True)]
    found = Beliefs(reading, logs).predictions(probability, RULES["mention"], temperature)
    wanted = [each for output in outputs for each in decode(reading.network, output, Temperatures.same(temperature))]
    spans = [[(span.start, span.end, span.type) for span in each.spans] for each in found]
    assert spans == [[(span.start, span.end, span.type) for span in each.spans] for each in wanted]
    assert max(end - start for each in spans for start, end, _ in each) > 1
    assert probabilities(found) == pytest.approx(probabilities(wanted), abs=1e-5)


@pytest.mark.parametrize("way", EVIDENTIAL)
def test_each_evidential_uncertainty_reads_one_quantity(way: str) -> None:
    span = Span(0, 1, "PER", probability=0.9, aleatoric=0.2, epistemic=0.3, views={})
    sure = EVIDENTIAL[way]
    changed = {
        "fused probability": replace(span, probability=0.8),
        "epistemic": replace(span, epistemic=0.4),
        "aleatoric": replace(span, aleatoric=0.3),
    }
    for name, change in changed.items():
        less = sure(change)
        assert less < sure(span) if name == way.removesuffix(", heads alone") else less == sure(span)


def test_the_words_of_a_mention_are_joined_by_their_least_or_their_product() -> None:
    chosen = Chosen(np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1]]), np.array([0, 1]))
    sure = probability(chosen)
    assert sure.tolist() == [0.8, 0.6]
    assert RULES["least sure word"].join(sure) == 0.6
    assert RULES["product over words"].join(sure) == pytest.approx(0.48)


def test_entropy_is_the_share_of_the_largest_one() -> None:
    third = 1 / 3
    chosen = Chosen(np.array([[1.0, 0.0, 0.0], [third, third, third], [0.5, 0.5, 0.0]]), np.zeros(3, np.intp))
    assert certainty(chosen) == pytest.approx([1.0, 0.0, 1 - math.log(2) / math.log(3)])


def test_dropout_is_on_in_each_pass_seeded_and_off_again_after_it(plain: Extractor) -> None:
    state, passed = torch.get_rng_state(), list[int]()
    first = dropped_out(plain, TWEETS, lambda: passed.append(1))
    second = dropped_out(plain, TWEETS, lambda: None)
    single = [dropped_out(plain, TWEETS, lambda: None, passes=1), beliefs(plain, TWEETS)]
    assert len(passed) == 10
    assert all(torch.equal(*logs) for logs in zip(first.logs, second.logs, strict=True))
    assert not any(torch.allclose(*logs) for logs in zip(single[0].logs, single[1].logs, strict=True))
    assert torch.allclose(first.logs[0].exp().sum(-1), torch.ones(()), atol=1e-5), "the mean of distributions is one"
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(part.training for part in plain.predictor.network.modules())


def test_the_temperature_corrects_an_overconfident_model(plain: Extractor) -> None:
    half_wrong = [
        replace(each, tags=("O",) * len(each.tags)) if place % 2 else each for place, each in enumerate(TWEETS)
    ]
    chosen = beliefs(plain, half_wrong)
    own = best_temperature(chosen, RULES["mention"])
    assert 0.8 < own < 3
    less_sure = replace(chosen, logs=[logs / 2 for logs in chosen.logs])
    assert best_temperature(less_sure, RULES["mention"]) == pytest.approx(own / 2, abs=0.11)


def test_validation_chooses_one_rule_for_all_baselines(plain: Extractor) -> None:
    baseline, found = Baseline(plain, DATA, lambda: None), {"aleatoric": {"mean": 0.6, "max_word": 0.7}}
    choice = choose([baseline], found)
    assert choice.rule == min(choice.aurc, key=choice.aurc.__getitem__)
    assert choice.aurc.keys() == RULES.keys()
    assert (choice.measure, choice.measures) == ({"aleatoric": "max_word"}, found)
    for rule, aurc in choice.aurc.items():
        assert aurc == pytest.approx(np.mean([baseline.scores("valid", way, rule).aurc for way in WAYS]))
    other = Baseline(plain, replace(DATA, tweets=OOD, ood=TWEETS), lambda: None)
    assert choose([other], found) == choice, "the measured posts choose nothing"


def test_validation_chooses_how_the_evidential_variances_of_a_tweet_are_measured(evidential: Extractor) -> None:
    found = measures([Read.of(evidential, DATA)])
    told = ood_scores(evidential)
    assert found["epistemic"] == {name: each.epistemic for name, each in told.items()}
    assert found["aleatoric"] == {name: each.aleatoric for name, each in told.items() if name != "beyond_noise"}
    alone = ood_scores(without_density(evidential))
    assert found[HEADS_ALONE] == {name: each.epistemic for name, each in alone.items()}
    assert found[HEADS_ALONE] != found["epistemic"]
    assert evidential.predictor.network.density is not None
    swapped = replace(DATA, tweets=OOD, ood=TWEETS)
    assert measures([Read.of(evidential, swapped)]) == found, "the measured posts choose nothing"
    assert measures([Read.of(evidential, replace(DATA, ood_valid=[], ood=[]))]) == {}


def ood_scores(extractor: Extractor) -> dict[str, OodScore]:
    some = (
        tweet_uncertainties(extractor.predictor, extractor.tokenizer, part) for part in (DATA.valid, DATA.ood_valid)
    )
    return out_of_distribution(*some)


def without_density(extractor: Extractor) -> Extractor:
    """Returns the same checkpoint without its density."""
    predictor = extractor.predictor
    network = copy(predictor.network)
    network.density = None
    return Extractor(extractor.tokenizer, Predictor(network, predictor.info, predictor.device))


def test_every_uncertainty_has_a_row_with_a_value_per_checkpoint(folder: Path) -> None:
    seeds = (0, 1)
    ours, theirs = ([toy(folder, design, seed) for seed in seeds] for design in (TWO_VIEWS, PLAIN))
    result = measured(ours, theirs, DATA, seed=None)
    assert [(row.model, row.reads) for row in result.rows] == [
        *[("evidential", "text and caption")] * 4,
        *[("evidential", "text")] * 4,
        *[("softmax", "text")] * 4,
    ]
    for row in result.rows:
        scored = (row.f1, row.aurc, row.ece, row.brier, row.ood)
        assert all(len(figure.values) == 2 for figure in scored)
        assert (row.ece.mean is None) == (row.way in {"epistemic", HEADS_ALONE, "aleatoric", "entropy"}), row.way
        assert (row.ood.mean is None) == (row.reads != "text"), row.way
    first = result.rows[0]
    scores = [
        scoreboard([each.tags for each in DATA.tweets], predict(each.predictor, each.tokenizer, DATA.tweets, True))
        for each in ours
    ]
    assert first.way == "fused probability"
    assert first.aurc.values == pytest.approx([each.aurc for each in scores])
    by_epistemic, alone = (next(row for row in result.rows if row.way == way) for way in ("epistemic", HEADS_ALONE))
    assert by_epistemic.auroc_error.values == pytest.approx([each.auroc_error_epistemic for each in scores])
    bare = [predict(each.predictor, each.tokenizer, DATA.tweets, True) for each in map(without_density, ours)]
    wanted = [scoreboard([each.tags for each in DATA.tweets], found).auroc_error_epistemic for found in bare]
    assert alone.auroc_error.values == pytest.approx(wanted)
    assert measured(ours, [], DATA, seed=0).rows == [
        replace(row, ood=spread([None, None])) if row.way == "fused probability" else row for row in result.rows[:8]
    ], "without baselines the same, but for what is read by the rule of the baselines"


def test_without_ood_posts_there_is_no_ood_score(plain: Extractor, evidential: Extractor) -> None:
    result = measured([evidential], [plain], replace(DATA, ood_valid=[], ood=[]), seed=None)
    assert all(row.ood.mean is None for row in result.rows)
    assert result.choice.tweet_rule is None


def test_shuffling_gives_every_caption_to_another_tweet_and_leaves_those_without_one() -> None:
    tweets = [replace(each, caption=f"caption {each.id}" if place else None) for place, each in enumerate(TWEETS)]
    mixed = shuffled(tweets, seed=3)
    assert mixed[0].caption is None
    assert all(first.caption != second.caption for first, second in zip(mixed[1:], tweets[1:], strict=True))
    assert {each.caption for each in mixed} == {each.caption for each in tweets}
    assert [each.words for each in mixed] == [each.words for each in tweets]
    assert mixed == shuffled(tweets, seed=3) != shuffled(tweets, seed=4)


def test_a_view_alone_is_what_a_model_of_that_view_would_say(evidential: Extractor) -> None:
    data = replace(DATA, tweets=TWEETS)
    found = views(Read.of(evidential, data), TWEETS, seed=0)
    predictor, tokenizer = evidential.predictor, evidential.tokenizer
    dropped, together = (
        scoreboard([each.tags for each in TWEETS], predict(predictor, tokenizer, TWEETS, captions)).f1
        for captions in (False, True)
    )
    assert found.f1["text alone"] == found.f1["fused, captions dropped"] == dropped
    assert found.f1["fused"] == together
    with torch.inference_mode():
        head = predictor.network.heads["text_context"]
        assert isinstance(head, nn.Linear)
        kept = head.weight.clone()
        head.weight.zero_()  # now the context says the same of every word
        try:
            blind = views(Read.of(evidential, data), TWEETS, seed=0)
        finally:
            head.weight.copy_(kept)
    assert blind.f1["text alone"] == found.f1["text alone"]
    assert blind.f1["text+context alone"] < found.f1["text+context alone"]
    assert blind.evidence.effect is None, "its nu is the same for any caption"


def test_the_effect_is_of_paired_tweets_with_caption_and_mention(evidential: Extractor) -> None:
    found = evidence({"1": 3.0, "2": 5.0, "3": 4.0, "4": 9.0}, {"1": 2.0, "2": 2.0, "3": 2.0, "5": 0.0})
    assert (found.tweets, found.own, found.shuffled) == (3, 4.0, 2.0)
    assert found.effect == pytest.approx(2.0)
    tweets = [replace(TWEETS[0], caption=None), replace(TWEETS[1], tags=("O",) * len(TWEETS[1].tags)), *TWEETS[2:5]]
    reading = read(evidential, tweets, captions=True)
    nu = context_nu(reading)
    assert nu.keys() == {each.id for each in TWEETS[2:5]}
    single = read(evidential, [TWEETS[2]], captions=True).outputs[0].views[1].nu[0, [0, 2]].mean()
    assert nu[TWEETS[2].id] == pytest.approx(float(single), rel=1e-4), "of the words that are mentions alone"


def test_what_is_compared_is_checked(folder: Path, plain: Extractor, evidential: Extractor) -> None:
    checked([evidential], [plain])
    checked([evidential], [])
    with pytest.raises(UserError, match="--evidential: give at least one checkpoint"):
        checked([], [plain])
    with pytest.raises(UserError, match="was trained without evidence"):
        checked([plain], [plain])
    with pytest.raises(UserError, match="is no plain softmax; train it with"):
        checked([evidential], [evidential])
    with pytest.raises(UserError, match="has no view text"):
        checked([toy(folder, Design(views=("text+context",)))], [plain])
    with pytest.raises(UserError, match=r"has no density\.safetensors; make it with `mner calibrate --background`"):
        checked([without_density(evidential)], [plain])
    other = Extractor(plain.tokenizer, toy(folder, PLAIN).predictor)
    smaller = other.info.model_copy(update={"encoder": other.info.encoder | {"num_hidden_layers": 1}})
    other.predictor = type(other.predictor)(other.predictor.network, smaller, "cpu")
    with pytest.raises(UserError, match="must have the same encoder"):
        checked([evidential], [other])


def test_a_figure_over_seeds_has_a_mean_and_a_sample_deviation() -> None:
    assert str(spread([0.5, 0.7])) == "0.6000 ± 0.1414"
    assert str(spread([0.5])) == "0.5000"
    assert str(spread([0.5, None])) == "-"


def test_the_command_names_the_data_folder_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNER_DATA", "/somewhere/data/")
    monkeypatch.setattr("sys.argv", ["x", "--data", "/somewhere/data/toy", "--rows", "a,b", "--test"])
    assert typed("python -m benchmarks.x") == "python -m benchmarks.x --data $MNER_DATA/toy --rows a,b --test"


def test_the_command_is_quoted_word_by_word_and_names_no_other_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNER_DATA", "/somewhere/data")
    words = ["/somewhere/data/a toy", "--data=/somewhere/data", "/home/me/runs/a,/home/me/b c", "/somewhere/database/x"]
    monkeypatch.setattr("sys.argv", ["x", *words, "--set", "data.captions=/somewhere/data/c.jsonl"])
    assert typed("python -m benchmarks.x") == (
        "python -m benchmarks.x $MNER_DATA'/a toy' --data=$MNER_DATA a,'b c' x --set data.captions=$MNER_DATA/c.jsonl"
    )


def written(extractor: Extractor, folder: Path, seed: int) -> Path:
    from safetensors.torch import save_file

    folder.mkdir()
    save_file(
        {name: value.contiguous() for name, value in extractor.predictor.network.state_dict().items()}, folder / WEIGHTS
    )
    extractor.tokenizer.tokenizer.save(str(folder / TOKENIZER))
    info = extractor.info.model_copy(update={"provenance": {"options": str(OptimisationConfig(seed=seed))}})
    assert seed_of(info) == seed
    if extractor.predictor.network.density is not None:
        extractor.predictor.network.density.save(folder)
    write_config(folder, info)
    return folder


def corpus_of(folder: Path, parts: dict[str, list[Example]]) -> Path:
    folder.mkdir()
    for split, tweets in parts.items():
        lines = [
            f"IMGID:{each.id}\n" + "".join(f"{word}\t{tag}\n" for word, tag in zip(each.words, each.tags, strict=True))
            for each in tweets
        ]
        (folder / f"{split}.txt").write_text("\n".join(lines), encoding="utf-8")
    return folder


def test_the_command_measures_checkpoints_and_writes_every_figure(
    plain: Extractor, evidential: Extractor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = corpus_of(tmp_path / "toy2017", {"train": TWEETS[:2], "valid": DATA.valid, "test": DATA.tweets})
    ood = corpus_of(tmp_path / "other", {"valid": DATA.ood_valid, "test": DATA.ood})
    captions = tmp_path / "captions.jsonl"
    captions.write_text(
        "\n".join(json.dumps({"set": "2017", "img": each.id, "caption": each.caption}) for each in TWEETS)
    )
    folders = [str(written(each, tmp_path / name, 7)) for name, each in (("ours", evidential), ("theirs", plain))]
    out = tmp_path / "figures.json"
    options = {"data": data, "captions": captions, "ood": ood, "with_views": True, "json_to": out}
    uncertainty.command(folders[0], plain=folders[1], **options)  # type: ignore[arg-type]
    report = json.loads(out.read_text())
    assert (report["split"], report["evidential"]) == ("test", {folders[0]: 7})
    (result,) = report["results"]
    assert len(result["rows"]) == 12
    assert result["tweets"] == len(DATA.tweets)
    assert result["views"][0]["evidence"]["tweets"] == len(DATA.tweets)
    printed = capsys.readouterr().out
    assert "toy2017, test, 12 posts" in printed
    assert sum(line.startswith("| softmax") for line in printed.splitlines()) == len(WAYS)
    assert "| effect size, Cohen's d" in printed
    with pytest.raises(UserError, match="--split train"):
        uncertainty.command(folders[0], data, plain=folders[1], split="train")
