"""Results of `evaluate_downstream` for tests of what shows them."""

from evaluation.downstream.document import FORMAT
from evaluation.downstream.keeping import keep


def a_measure(value: float, **others) -> dict:
    return {"value": value, "low": value - 5, "high": value + 5, "reason": None, **others}


def a_row(codec: str, value: float) -> dict:
    difference = {"difference": value - 30, "difference_low": -9.0, "difference_high": -1.5}
    return {
        "codec": codec,
        "version": f"{codec} 1.0",
        "actual_bpp": 0.2301,
        "n_off_target": 1 if codec == "jpeg" else 0,
        "measures": {name: a_measure(value, **difference) for name in ("box_ap", "mean_iou")},
    }


def a_document(**changes) -> dict:
    return {
        "format": FORMAT,
        "n_images": 32,
        "n_labels": 275,
        "classes": {"box": 80, "iou": 20},
        "measures": ["box_ap", "mean_iou"],
        "uncompressed": {"box_ap": a_measure(30.0), "mean_iou": a_measure(30.0)},
        "strata": {
            "1.0": {"codecs": [a_row("avif", 29.1)]},
            "0.23": {"codecs": [a_row("avif", 26.4), a_row("jpeg", 18.6)]},
        },
        "confidence": 0.95,
        "seed": 0,
        "n_boot": 2000,
        "provenance": {
            "closer": "0.1.0",
            "commit": None,
            "annotations": {"file": "labels.json", "digest": "0" * 64},
            "models": {"boxes": {"file": "yolox.onnx", "digest": "1" * 64}},
        },
        **changes,
    }


def downstream_evaluation(project, name: str = "COCO", **changes):
    return keep(a_document(**changes), name=name, project=project)
