"""Study files at random, for properties: what is drawn is a study that can be."""

from hypothesis import strategies as st

from annotation.options import ACTIONS, GAMUTS, VIEWS

CODECS = ("avif", "jpeg", "jpeg2000", "webp")
TEXT = st.text(max_size=40).map(lambda text: text.replace("\0", ""))
NUMBER = {"allow_nan": False, "allow_infinity": False}


def drawn(**some: st.SearchStrategy) -> st.SearchStrategy[dict]:
    """A table in which each key may be left out."""
    return st.fixed_dictionaries({}, optional=some)


def _rules(with_pairs: bool) -> st.SearchStrategy:
    checks = ["gold", "repeats", "too fast", *(["side bias"] if with_pairs else [])]
    rule = st.fixed_dictionaries(
        {
            "check": st.sampled_from(checks),
            "action": st.sampled_from(ACTIONS),
            "share": st.floats(0, 1, **NUMBER),
        },
        optional={
            "at_least": st.integers(1, 10_000),
            "too_fast_s": st.floats(0.3, 600, **NUMBER),
        },
    )
    return st.lists(rule, max_size=3, unique_by=lambda each: (each["check"], each["action"]))


def mappings(text: st.SearchStrategy[str] = TEXT, names: st.SearchStrategy[str] = TEXT):
    """What study files say. text : of instructions and the like; names : of other studies."""
    amount = st.integers(0, 99_999).map(lambda cents: f"{cents / 100:.2f}")
    wording = drawn(instructions=text, consent=text)

    def of_kind(task: str) -> st.SearchStrategy[dict]:
        is_pairs = task == "2afc"
        fewest = 2 if is_pairs else 3
        return st.fixed_dictionaries(
            {
                "name": text.map(lambda each: f"Sea {each}"),
                "images": st.just("holiday"),
                "codecs": st.lists(
                    st.sampled_from(CODECS), min_size=fewest, max_size=4, unique=True
                ),
                "task": st.just(task),
                # Far enough apart for gold tasks.
                "bpp": st.lists(
                    st.sampled_from(["0.3", "0.5", "0.75"]), max_size=2, unique=True
                ).map(lambda some: [*some, "0.1", "1.2345"]),
                # For the rules that need them.
                "gold_share": st.floats(0.01, 0.5, **NUMBER),
                "repeat_share": st.floats(0.01, 0.5, **NUMBER),
            },
            optional={
                "sampling": st.sampled_from(["balanced", "active"] if is_pairs else ["balanced"]),
                "allow_ties": st.booleans(),
                "source_distance": st.integers(0, 1000),
                "judgments_per_task": st.integers(1, 1000),
                "judgments_per_annotator": st.integers(1, 1_000_000),
                "budget": st.integers(1, 2_000_000_000),
                "closes_at": st.sampled_from(
                    ["2026-12-31T18:00:00Z", "2026-12-31T18:00:00.123456+05:30"]
                ),
                "not_after": st.lists(names.filter(str.strip).map(str.strip), max_size=3),
                "seed": st.integers(0, 2**63 - 1),
                "instructions": text,
                "consent": text,
                "viewing": drawn(
                    views=st.permutations(VIEWS).map(lambda views: views[:2])
                    if is_pairs
                    else st.just([VIEWS[0]]),
                    crop=st.integers(16, 64)
                    | st.lists(st.integers(16, 64), min_size=2, max_size=2),
                    crops_per_image=st.integers(1, 100),
                    minimum_s=st.floats(0, 5, **NUMBER),
                    limit_s=st.floats(5, 3600, **NUMBER),
                    confidence=st.booleans(),
                    remark=st.booleans(),
                ),
                "requirements": drawn(
                    window_width=st.integers(0, 20_000),
                    gamut=st.sampled_from(["", *GAMUTS]),
                    most_zoom=st.integers(0, 500),
                    size_calibration=st.booleans(),
                    phones=st.booleans(),
                    languages=st.lists(st.sampled_from(["de", "pt-BR", "en"]), max_size=3),
                ),
                "practice": drawn(
                    tasks=st.integers(0, 50),
                    quiz=st.integers(0, 50),
                    quiz_pass=st.floats(0.01, 1, **NUMBER),
                    quiz_attempts=st.integers(1, 10),
                ),
                "rules": _rules(is_pairs),
                "crowd": drawn(
                    platform=st.sampled_from(["", "prolific"]),
                    completed=st.just("C0DE"),
                    pay=amount,
                    bonus=amount,
                    bonus_gold=st.floats(0, 1, **NUMBER),
                    currency=st.sampled_from(["", "GBP"]),
                ).map(lambda crowd: crowd | {"completed": "C0DE"}),
                "translations": st.dictionaries(
                    st.sampled_from(["de", "pt-br", "zh"]), wording, max_size=2
                ),
            },
        )

    return st.sampled_from(["2afc", "ranking"]).flatmap(of_kind)
