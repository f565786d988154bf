"""Settings: flat words whatever the part they stand in, the order of filters, and what is refused."""

import json
from dataclasses import fields

import pytest

from analogue import Settings, load_junk
from analogue.pair_settings import STAGES
from test_filters import labels_of

NONE = labels_of()


def names(settings, **options):
    return [rule.name for rule in settings.filters(NONE, NONE, **options)]


def test_words_are_flat_and_come_back():
    every = [field.name for field in fields(Settings)]
    assert {"label_k", "junk", "pairs", "min_correlation", "stages", "null", "seed"} <= set(every)
    assert len(set(every)) == len(every)
    settings = Settings(
        label_k=3, label_window=2, label_unit="words", label_target="next", one_per_document=True, stages=STAGES[::-1]
    )
    assert Settings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert settings.labelling == {"k": 3, "window": 2, "unit": "words", "target": "next", "one_per_document": True}
    saved = Settings().to_dict()
    for name in ("stages", "label_k", "junk_keep"):
        del saved[name]  # a run that was written before they were
    assert Settings.from_dict(saved) == Settings()


def test_what_an_own_junk_file_said_stays_with_the_settings(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("characters = 'xy'")
    settings = Settings(junk_preset=f"default,{file}", junk_keep="-")
    assert settings.junk_list == load_junk(f"default,{file}").keeping("-")
    saved = json.dumps(settings.to_dict())
    file.unlink()
    again = Settings.from_dict(json.loads(saved))
    assert again == settings
    assert (again.junk_list.kind("x"), again.junk_list.kind("-"), again.junk_list.kind("z")) == ("mine", None, None)
    assert Settings(junk_preset="default,quotes").to_dict()["junk_preset"] == "default,quotes"
    assert names(settings) == ["0.1 <= r", "junk majority, default,mine.toml keeping -"]


ALL = {
    "pairs": "b_to_a",
    "max_multiplicity": 2,
    "one_to_one": "best",
    "min_correlation_given_token": 0.0,
    "shared_words": 1,
}
OF = {
    "multiplicity": ["pairs of A <= 2 drop"],
    "one_to_one": ["one_to_one best"],
    "correlation": ["0.1 <= r", "0 <= r given token"],
    "junk": ["junk majority"],
    "shared_words": ["shared word"],
}


@pytest.mark.parametrize("order", [STAGES, STAGES[::-1], ("junk", "shared_words", "one_to_one", *STAGES[0:3:2])])
def test_filters_stand_in_the_order_of_stages(order):
    settings = Settings(**ALL, stages=order)
    assert names(settings) == [name for stage in order for name in OF[stage]]
    assert names(settings, bands=False) == [n for stage in order if stage != "correlation" for n in OF[stage]]
    assert list(settings.filters_by_stage(NONE, NONE)) == list(order)


def test_what_is_not_asked_for_need_not_be_named():
    assert names(Settings(stages=("junk", "correlation"))) == ["junk majority", "0.1 <= r"]
    assert names(Settings(junk="off", min_correlation=None, stages=())) == []
    assert names(Settings()) == ["0.1 <= r", "junk majority"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"stages": ("junk",)}, "stages must name correlation too, which the settings ask for"),
        ({"stages": STAGES[2:], **ALL}, "stages must name multiplicity, one_to_one too"),
        ({"stages": (*STAGES, "junk")}, "stages must name every filter once, got junk twice"),
        ({"stages": (*STAGES, "corr")}, "stages must be one of multiplicity, .*, got 'corr'"),
        ({"label_k": 0}, "label_k must be at least 1, got 0"),
        ({"label_window": -1}, "label_window must be at least 0, got -1"),
        ({"label_unit": "letters"}, "label_unit must be one of tokens, words, got 'letters'"),
        ({"label_target": "last"}, "label_target must be one of token, next, got 'last'"),
        ({"junk_keep": "+", "junk": "off"}, r"junk_keep needs a junk rule, got \+ with junk=off"),
        ({"junk_preset": load_junk("wide"), "junk": "off"}, "junk_preset needs a junk rule, got wide with junk=off"),
    ],
)
def test_bad_settings(arguments, said):
    with pytest.raises(ValueError, match=said):
        Settings(**arguments)


def test_bad_types():
    with pytest.raises(TypeError, match="stages must be a tuple of names, got the string 'junk'"):
        Settings(stages="junk")
    with pytest.raises(TypeError, match="junk_keep must be a string of characters, got list"):
        Settings(junk_keep=["+"])
