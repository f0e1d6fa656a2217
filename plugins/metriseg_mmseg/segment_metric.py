"""How well the segments of a one-channel output are the objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metriseg.batch import Batch
from metriseg.extraction import make_segments
from metriseg.partitions import DEFAULT_SCORES, SCORES
from metriseg_mmseg.carried import INSTANCE_MAP
from metriseg_mmseg.metrics import PartitionMetric
from metriseg_mmseg.registry import METRICS


@METRICS.register_module()
class SegmentMetric(PartitionMetric):
    """How far the segments of one output channel are from the true objects.

    As ``metriseg_mmseg.PartitionMetric``, but the prediction is what ``extractor`` finds in the
    output of ``metriseg_mmseg.SegmentHead``, and the truth is ``gt_instance_map``, which
    ``metriseg_mmseg.PackInstanceInputs`` packs. Connected components of both are compared.

    Args:
        extractor: a :class:`metriseg.extraction.Segments`, its name, or a mapping of its name
            (``type``) and arguments; that of the loss.
        metrics: as in ``PartitionMetric``, but those of objects: the segments that an extractor
            finds have no background.
        connectivity: as there.
        collect_device: as there.
        prefix: as there.
        collect_dir: as there.

    Raises:
        ValueError: for an unknown name, or another bad argument.
    """

    def __init__(
        self,
        extractor: Any = "KNNSegments",
        metrics: str | Sequence[str] = DEFAULT_SCORES,
        connectivity: int = 1,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(
            metrics,
            connectivity=connectivity,
            ignore_index=None,
            collect_device=collect_device,
            prefix=prefix,
            collect_dir=collect_dir,
        )
        of_objects = [name for name in self.scores.names if SCORES[name].needs == "objects"]
        if of_objects:
            raise ValueError(
                "metrics must be of partitions for SegmentMetric, whose segments have no"
                f" background, got {', '.join(of_objects)}"
            )
        self.extractor = make_segments(extractor)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Score every image of a batch."""
        for sample in data_samples:
            if INSTANCE_MAP not in sample:
                raise ValueError(
                    f"data_samples must hold {INSTANCE_MAP} for SegmentMetric: let the pipeline"
                    " end with metriseg_mmseg.PackInstanceInputs"
                )
            # MMSegmentation has taken the sigmoid of the one channel
            values = sample["seg_logits"]["data"].unsqueeze(0).logit(eps=1e-6)
            batch = Batch.from_tensors(values, values.new_zeros(values.shape), activation="sigmoid")
            truth = sample[INSTANCE_MAP]["data"].squeeze(0)
            self.results.append(self.scores(truth, self.extractor.label_map(batch)[0]))
