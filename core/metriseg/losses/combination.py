"""Losses that add a region loss and a pixel loss in a way of their own."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Unpack

import torch
from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Batch
from metriseg.functional.region import WEIGHTINGS, Weighting
from metriseg.losses.base import RegionLoss
from metriseg.losses.generalized_dice import GeneralizedDiceOptions
from metriseg.losses.pixel import (
    Normalize,
    alpha_in,
    cross_entropies,
    cross_entropy_mass,
    focal_alpha,
    focal_values,
    label_options,
    labelled_values,
)
from metriseg.options import Reduction, RegionOptions
from metriseg.reduction import pixel_mass, reduce_pixels, total_of
from metriseg.statistics import RegionStatistics, has_label_logs

__all__ = [
    "ComboLoss",
    "DiceCELoss",
    "DiceFocalLoss",
    "ExponentialLogarithmicLoss",
    "GeneralizedDiceFocalLoss",
    "UnifiedFocalLoss",
]


class CombinedLoss(RegionLoss):
    """A weighted sum of a region loss and a pixel loss, each with its own mean.

    A subclass defines :meth:`pixel_values`, :attr:`shares` and, where the region loss is not the
    Dice loss, :meth:`from_statistics`. A share of zero leaves its part out. ``sync`` concerns the
    statistics; the pixel loss is each rank's own, as everywhere.

    Args:
        smooth: epsilon >= 0 of the Dice loss, or a pair (numerator, denominator).
        classes: "all", or "present": the Dice loss averages the classes that the target holds.
        per_image: Dice sums over each image (mean over images), or over the batch.
        class_weight: C numbers >= 0; the Dice loss divides by their sum, the cross-entropy by the
            number of pixels. With one channel also two, of the labels 0 and 1 in the pixel loss.
        include_background: False leaves class 0 out of the region loss; the pixel loss keeps it.
        reduction: "mean" or "sum"; the unreduced parts differ in shape.

    Raises:
        ValueError: for ``reduction="none"`` when called.
    """

    labels_have_weights: ClassVar[bool] = True

    @property
    def background_of_pixels(self) -> bool:
        return True

    @property
    @abc.abstractmethod
    def shares(self) -> tuple[float, float]:
        """What the region loss and the pixel loss are multiplied with."""

    @abc.abstractmethod
    def pixel_values(self, batch: Batch, s: RegionStatistics) -> Tensor:
        """The pixel loss ``(N, *S)``; ``s`` are the statistics of the region loss."""

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return 1 - F.dice_index(s, self.smooth_pair)

    def annotated(self, batch: Batch) -> Batch:
        # the region loss has sums of every class by itself, the pixel loss one value a pixel
        return dataclasses.replace(batch, weight=self.annotated_mass(batch))

    def pixel_mass(self, batch: Batch) -> Tensor:
        """What the mean of the pixel loss divides by."""
        return pixel_mass(batch)

    def region_values(self, batch: Batch, s: RegionStatistics) -> Tensor:
        """The region loss ``(G, C)``."""
        return self.from_statistics(s)

    def wants_label_logs(self, batch: Batch) -> bool:
        return self.shares[1] > 0 and has_label_logs(batch)

    def evaluate(self, batch: Batch) -> Tensor:
        return self.reduced(batch, "none", None)

    def reduced(
        self, batch: Batch, reduction: Reduction, statistics: RegionStatistics | None
    ) -> Tensor:
        if reduction == "none":
            raise ValueError(
                "reduction: the terms can't be added, their shapes are (G, C) and (N, *S): choose"
                " 'mean' or 'sum'"
            )
        s = self.statistics(batch, statistics)
        on_region, on_pixels = self.shares
        parts = []
        if on_region:
            table = self.region_values(batch, s)
            on_classes = self.reduced_table(table, self.counted(s), batch, reduction)
            parts.append(on_region * on_classes)
        if on_pixels:
            values, mass = self.pixel_values(batch, s), self.pixel_mass(batch)
            parts.append(on_pixels * reduce_pixels(values, batch.weight, reduction, mass))
        return total_of(parts, batch.logits)


class DiceCELoss(CombinedLoss):
    r"""Dice loss plus cross-entropy.

    .. math:: \ell = \lambda_{Dice}\, \ell_{Dice} + \lambda_{CE}\, \ell_{CE}

    with :class:`~metriseg.DiceLoss`, averaged over classes and images, and
    :class:`~metriseg.CrossEntropyLoss`, averaged over the valid pixels, of the same arguments.
    Values lie in :math:`[0, \infty)`, 0 at a perfect hard prediction.

    Args:
        lambda_dice: share of the Dice loss, >= 0.
        lambda_ce: share of the cross-entropy, >= 0.
        normalize: what the cross-entropy's mean divides by: "pixels", their number, or "weights",
            the sum of the class weights that they met (as ``torch.nn.CrossEntropyLoss``).
        label_smoothing: in [0, 1], of the cross-entropy (:class:`~metriseg.CrossEntropyLoss`).
        pos_weight: what a positive weighs in the cross-entropy where a negative weighs 1: a number
            > 0, or one a class; for sigmoid alone.

    Source: Isensee et al. 2021, "nnU-Net: a self-configuring method for deep learning-based
    biomedical image segmentation", doi:10.1038/s41592-020-01008-z.

    >>> import torch
    >>> DiceCELoss(lambda_ce=0.5)(torch.zeros(1, 2, 4), torch.tensor([[0, 1, 1, 0]]))
    tensor(0.8466)
    """

    label_smoothing: float

    def __init__(
        self,
        lambda_dice: float = 1.0,
        lambda_ce: float = 1.0,
        *,
        normalize: Normalize = "pixels",
        label_smoothing: float = 0.0,
        pos_weight: float | Sequence[float] | Tensor | None = None,
        **options: Unpack[RegionOptions],
    ) -> None:
        super().__init__(**options)
        validation.one_of("normalize", normalize, ("pixels", "weights"))
        label_options(self, label_smoothing, pos_weight)
        self.lambda_dice = validation.number("lambda_dice", lambda_dice, low=0.0)
        self.lambda_ce = validation.number("lambda_ce", lambda_ce, low=0.0)
        self.normalize = normalize

    @property
    def shares(self) -> tuple[float, float]:
        return self.lambda_dice, self.lambda_ce

    def pixel_mass(self, batch: Batch) -> Tensor:
        return cross_entropy_mass(self, batch, self.normalize)

    def wants_label_logs(self, batch: Batch) -> bool:
        return not self.label_smoothing and super().wants_label_logs(batch)

    def pixel_values(self, batch: Batch, s: RegionStatistics) -> Tensor:
        return cross_entropies(
            self, batch, self.label_smoothing, self.numbers("pos_weight", batch.logits)
        )


class DiceFocalLoss(CombinedLoss):
    r"""Dice loss plus focal loss.

    .. math:: \ell = \lambda_{Dice}\, \ell_{Dice} + \lambda_{focal}\, \ell_{focal}

    with :class:`~metriseg.DiceLoss`, averaged over classes and images, and
    :class:`~metriseg.FocalLoss`, averaged over the valid pixels, of the same arguments. Values lie
    in :math:`[0, \infty)`, 0 at a perfect hard prediction.

    Args:
        lambda_dice: share of the Dice loss, >= 0.
        lambda_focal: share of the focal loss, >= 0.
        gamma: how fast the focal loss fades, >= 0.
        alpha: in [0, 1], the weight of positives in the focal loss, with 1 - alpha that of
            negatives; None leaves both out. With exclusive classes class 0 is the negative. Or C
            numbers >= 0: what the positives of each class weigh, beside negatives of 1.
        class_weight: C numbers >= 0; the Dice loss divides by their sum, the focal loss by the
            number of pixels.

    Source: Zhu et al. 2019, "AnatomyNet: deep learning for fast and fully automated whole-volume
    segmentation of head and neck anatomy", arXiv:1808.05238.

    >>> import torch
    >>> DiceFocalLoss()(torch.zeros(1, 2, 4), torch.tensor([[0, 1, 1, 0]]))   # 1/2 + (ln 2)/4
    tensor(0.6733)
    """

    alpha: float | Tensor | None

    def __init__(
        self,
        lambda_dice: float = 1.0,
        lambda_focal: float = 1.0,
        gamma: float = 2.0,
        alpha: float | Sequence[float] | Tensor | None = None,
        **options: Unpack[RegionOptions],
    ) -> None:
        super().__init__(**options)
        self.lambda_dice = validation.number("lambda_dice", lambda_dice, low=0.0)
        self.lambda_focal = validation.number("lambda_focal", lambda_focal, low=0.0)
        self.gamma = validation.number("gamma", gamma, low=0.0)
        focal_alpha(self, alpha)

    @property
    def shares(self) -> tuple[float, float]:
        return self.lambda_dice, self.lambda_focal

    def pixel_values(self, batch: Batch, s: RegionStatistics) -> Tensor:
        return focal_values(self, batch, self.gamma, alpha_in(self, batch))


class GeneralizedDiceFocalLoss(CombinedLoss):
    r"""Generalized Dice loss plus focal loss.

    .. math:: \ell = \lambda_{GDL}\, \ell_{GDL} + \lambda_{focal}\, \ell_{focal}

    with :class:`~metriseg.GeneralizedDiceLoss`, averaged over images, and
    :class:`~metriseg.FocalLoss`, averaged over the valid pixels, of the same arguments. Values lie
    in :math:`[0, \infty)`, 0 at a perfect hard prediction.

    Args:
        lambda_gdl: share of the generalized Dice loss, >= 0.
        lambda_focal: share of the focal loss, >= 0.
        gamma: how fast the focal loss fades, >= 0.
        alpha: in [0, 1], the weight of positives in the focal loss, with 1 - alpha that of
            negatives; None leaves both out. With exclusive classes class 0 is the negative. Or C
            numbers >= 0: what the positives of each class weigh, beside negatives of 1.
        weighting: "square" (w = 1 / Y^2), "simple" (1 / Y) or "uniform" (1), of the Dice loss.
        smooth: epsilon >= 0 of the Dice loss, or a pair (numerator, denominator), in pixels of the
            class with the largest w.
        class_weight: C numbers >= 0 that multiply w, and what a class costs in the focal loss.

    Source: Sudre et al. 2017, "Generalised Dice overlap as a deep learning loss function for highly
    unbalanced segmentations", arXiv:1707.03237; Lin et al. 2017, "Focal loss for dense object
    detection", arXiv:1708.02002.

    >>> import torch
    >>> loss = GeneralizedDiceFocalLoss()
    >>> loss(torch.zeros(1, 2, 4), torch.tensor([[0, 1, 1, 0]]))       # 1/2 + (ln 2)/4
    tensor(0.6733)
    """

    columns_are_classes: ClassVar[bool] = False
    alpha: float | Tensor | None

    def __init__(
        self,
        lambda_gdl: float = 1.0,
        lambda_focal: float = 1.0,
        gamma: float = 2.0,
        alpha: float | Sequence[float] | Tensor | None = None,
        weighting: Weighting = "square",
        **options: Unpack[GeneralizedDiceOptions],
    ) -> None:
        super().__init__(**options)
        validation.one_of("weighting", weighting, tuple(WEIGHTINGS))
        self.lambda_gdl = validation.number("lambda_gdl", lambda_gdl, low=0.0)
        self.lambda_focal = validation.number("lambda_focal", lambda_focal, low=0.0)
        self.gamma = validation.number("gamma", gamma, low=0.0)
        self.weighting = weighting
        focal_alpha(self, alpha)

    @property
    def shares(self) -> tuple[float, float]:
        return self.lambda_gdl, self.lambda_focal

    def from_statistics(self, s: RegionStatistics, class_weight: Tensor | None = None) -> Tensor:
        return 1 - F.generalized_dice_index(s, self.weighting, class_weight, self.smooth_pair)

    def region_values(self, batch: Batch, s: RegionStatistics) -> Tensor:
        return self.from_statistics(s, self.class_factors(batch))

    def counted(self, s: RegionStatistics) -> Tensor:
        return (s.count > 0).any(1, keepdim=True)

    def pixel_values(self, batch: Batch, s: RegionStatistics) -> Tensor:
        return focal_values(self, batch, self.gamma, alpha_in(self, batch))


class ComboLoss(CombinedLoss):
    r"""Combo loss: cross-entropy that weighs the two errors, against the Dice loss.

    .. math:: \ell = \alpha\, \ell_{WCE} + (1 - \alpha)\, \ell_{Dice}, \qquad
              \ell_{WCE} = -\operatorname{mean}\,[\beta\, t \ln p + (1 - \beta)(1 - t) \ln(1 - p)]

    over pixels and yes-or-no questions (sigmoid). With exclusive classes there is no such pair of
    errors; the cross-entropy is then taken with the factor 1/2 that :math:`\beta = 1/2` is, so that
    two classes cost what one channel of their difference costs. The Dice loss is averaged over
    classes, then over images. The paper prints minus the Dice coefficient, which is :math:`1 -
    \alpha` less. Values lie in :math:`[0, \infty)`, 0 at a perfect hard prediction.

    Args:
        alpha: share of the cross-entropy, in [0, 1].
        beta: in [0, 1]; above 0.5 missed positives cost more than false ones. With exclusive
            classes it is 0.5.

    Raises:
        ValueError: for another ``beta`` than 0.5 with exclusive classes.

    Source: Taghanaki et al. 2019, "Combo loss: handling input and output imbalance in multi-organ
    segmentation", arXiv:1805.02798 (with ln p where it prints t - ln p).

    >>> import torch
    >>> loss = ComboLoss(activation="sigmoid")
    >>> loss(torch.zeros(1, 1, 4), torch.tensor([[0, 1, 1, 0]]))   # (ln 2)/4 + (1 - 3/5)/2
    tensor(0.3733)
    """

    defaults: ClassVar[RegionOptions] = {"smooth": 1.0}

    def __init__(
        self, alpha: float = 0.5, beta: float = 0.5, **options: Unpack[RegionOptions]
    ) -> None:
        super().__init__(**options)
        self.alpha = validation.number("alpha", alpha, low=0.0, high=1.0)
        self.beta = validation.number("beta", beta, low=0.0, high=1.0)

    @property
    def shares(self) -> tuple[float, float]:
        return 1 - self.alpha, self.alpha

    def pixel_values(self, batch: Batch, s: RegionStatistics) -> Tensor:
        if not batch.one_vs_rest and self.beta != 0.5:
            raise ValueError(
                f"beta={self.beta:g} weighs the answers of yes-or-no questions (sigmoid): with"
                " exclusive classes it must be 0.5; these have weights of classes"
            )
        # the focal loss that doesn't fade; for exclusive classes alpha 0.5 is the factor 1/2
        return focal_values(self, batch, 0.0, self.beta)


class ExponentialLogarithmicLoss(CombinedLoss):
    r"""Exponential logarithmic loss: powers of minus the logarithm of Dice and of probability.

    .. math:: \ell = \lambda_{Dice}\, \operatorname{mean}_c (-\ln D_c)^{\gamma_{Dice}}
              + \lambda_{CE}\, \operatorname{mean}_u w_{t_u} (-\ln p_{t_u})^{\gamma_{CE}}, \quad
              w_l = \sqrt{\textstyle\sum_k f_k / f_l}

    with the Dice coefficients :math:`D_c` averaged over classes, then over images, and label
    frequencies f (a label that never occurs weighs 0). A yes-or-no question (sigmoid) has the two
    labels "yes" and "no"; its cross-entropies are averaged over the questions, its Dice coefficient
    is that of "yes". Soft labels share a pixel's cost among the labels. Values lie in :math:`[0,
    \infty)`, 0 at a perfect hard prediction; the slope of a power below 1 is infinite there, and is
    kept finite.

    Args:
        lambda_dice: share of the Dice part, >= 0.
        lambda_ce: share of the cross-entropy part, >= 0.
        gamma_dice: exponent of the Dice part, > 0.
        gamma_ce: exponent of the cross-entropy part, > 0.
        frequencies: how frequent the labels are in the training set: C numbers >= 0 in any unit;
            for yes-or-no questions the share of "yes" in [0, 1]. None counts the labels of the
            batch.
        smooth: epsilon >= 0 of the Dice coefficients, or a pair (numerator, denominator). Without
            it a coefficient below 1e-7 counts as 1e-7.
        classes: "all", or "present": the Dice part averages the classes that the target holds.
        sync: sum the statistics over ranks, with gradient; needs ``per_image=False``. Labels are
            then counted on all ranks.
        class_weight: C numbers >= 0, beside the label weights; the Dice part divides by their sum,
            the cross-entropy part by the number of pixels.

    Raises:
        ValueError: for frequencies that don't fit the classes.

    Source: Wong et al. 2018, "3D segmentation with exponential logarithmic loss for highly
    unbalanced object sizes", arXiv:1809.00076.

    >>> import torch
    >>> loss = ExponentialLogarithmicLoss(gamma_dice=1.0, gamma_ce=1.0)
    >>> loss(torch.zeros(1, 2, 4), torch.tensor([[0, 1, 1, 0]]))   # .8 ln(5/3) + .2 sqrt(2) ln 2
    tensor(0.6047)
    """

    needs_errors = True
    defaults: ClassVar[RegionOptions] = {"smooth": 1.0}

    def __init__(
        self,
        lambda_dice: float = 0.8,
        lambda_ce: float = 0.2,
        gamma_dice: float = 0.3,
        gamma_ce: float = 0.3,
        frequencies: Sequence[float] | Tensor | None = None,
        **options: Unpack[RegionOptions],
    ) -> None:
        super().__init__(**options)
        self.lambda_dice = validation.number("lambda_dice", lambda_dice, low=0.0)
        self.lambda_ce = validation.number("lambda_ce", lambda_ce, low=0.0)
        self.gamma_dice = validation.number("gamma_dice", gamma_dice, low=0.0, open_low=True)
        self.gamma_ce = validation.number("gamma_ce", gamma_ce, low=0.0, open_low=True)
        self.keep_numbers("frequencies", validation.class_weights(frequencies, "frequencies"))

    @property
    def shares(self) -> tuple[float, float]:
        return self.lambda_dice, self.lambda_ce

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return F.exponential_logarithmic_dice(s, self.gamma_dice, self.smooth_pair)

    def pixel_values(self, batch: Batch, s: RegionStatistics) -> Tensor:
        frequencies, total = self.label_frequencies(batch, s)
        weights: Any = F.label_weights(frequencies, frequencies.sum())
        if batch.one_vs_rest:
            weights = [F.label_weights(f, total) for f in (frequencies, total - frequencies)]
        cost, question_cost = F.powered_cross_entropy, F.binary_powered_cross_entropy
        return labelled_values(self, batch, cost, question_cost, self.gamma_ce, weights, dense=True)

    def wants_label_logs(self, batch: Batch) -> bool:
        return False

    def label_frequencies(self, batch: Batch, s: RegionStatistics) -> tuple[Tensor, Tensor]:
        """``(C,)`` frequencies, and that of all pixels together as a question sees it."""
        found = self.numbers("frequencies", batch.logits)
        if found is None:
            return s.target[1.0].sum(0), s.count.sum(0)
        if len(found) != batch.num_classes:
            raise ValueError(
                f"frequencies must have a number for each of the {batch.num_classes} classes,"
                f" got {len(found)}"
            )
        given: list[float] = self._exact["frequencies"]
        if batch.one_vs_rest and max(given) > 1:
            raise ValueError(
                "frequencies must be the share of 'yes' in [0, 1] for yes-or-no questions"
                f" (activation='sigmoid'), got {given}"
            )
        return found, torch.ones_like(found)


class UnifiedFocalLoss(CombinedLoss):
    r"""Unified focal loss: a focal loss and a focal Tversky loss under the same parameters.

    .. math:: \ell = \lambda \operatorname{mean}_u\, d_t (1 - p_t)^{g_t} (-\ln p_t)
              + (1 - \lambda) \operatorname{mean}_c\, (1 - TI_c)^{h_c}, \quad
              TI_c = \frac{TP_c + \epsilon}{TP_c + \delta FN_c + (1 - \delta) FP_c + \epsilon}

    with :math:`d = 1 - \delta` for the background, class 0, and :math:`d = \delta` for every other
    class. The symmetric form has :math:`g = \gamma` and :math:`h = 1 - \gamma` for all classes. The
    asymmetric form lets only the background fade (:math:`g_0 = \gamma`, all other g are 0) and
    lifts only the foreground (:math:`h_0 = 1`, all others :math:`1 - \gamma`). A yes-or-no question
    (sigmoid) has its own background, 1 - p; its Tversky part is the mean of the two, and both parts
    are averaged over the questions.

    With :math:`\lambda = 1` the symmetric form is the focal loss of weight :math:`\delta`
    (cross-entropy at :math:`\gamma = 0`), with :math:`\lambda = 0` at :math:`\gamma = 0` the
    Tversky loss, which at :math:`\delta = 1/2` is Dice. Values lie in :math:`[0, \infty)`, 0 at a
    perfect hard prediction; the slope of a power below 1 is infinite there, and is kept finite.

    Args:
        focal_share: lambda in [0, 1]; it multiplies the focal part, as in the paper (the authors'
            code has it on the other part).
        delta: in [0, 1], the price of what is missed of a class (1 - delta: of what is wrongly
            found), and the weight of the foreground in the focal part.
        gamma: in [0, 1): how fast the focal part fades, and how much the Tversky part is lifted.
        form: "asymmetric" or "symmetric".
        smooth: epsilon >= 0 of the Tversky index, or a pair (numerator, denominator).
        classes: "all", or "present": the Tversky part averages the classes that the target holds.
        per_image: Tversky sums over each image (mean over images), or over the batch.
        class_weight: C numbers >= 0; the Tversky part divides by their sum, the focal part by the
            number of pixels.

    Raises:
        ValueError: for ``weight`` and ``lambda_``: the paper and its code disagree which part they
            multiply.

    Source: Yeung et al. 2022, "Unified focal loss: generalising Dice and cross entropy-based losses
    to handle class imbalanced medical image segmentation", arXiv:2102.04525.

    >>> import torch
    >>> loss = UnifiedFocalLoss(focal_share=0.0, delta=0.5, gamma=0.0)   # the Dice loss
    >>> loss(torch.zeros(1, 2, 4), torch.tensor([[0, 1, 1, 0]]))
    tensor(0.5000)
    """

    needs_errors = True
    synonyms: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("weight", "lambda_"),
        "say 'focal_share' for the share of the focal part (in the authors' code the weight is that"
        " of the Tversky part, 1 - focal_share)",
    )

    def __init__(
        self,
        focal_share: float = 0.5,
        delta: float = 0.6,
        gamma: float = 0.5,
        form: Literal["asymmetric", "symmetric"] = "asymmetric",
        **options: Unpack[RegionOptions],
    ) -> None:
        super().__init__(**options)
        self.focal_share = validation.number("focal_share", focal_share, low=0.0, high=1.0)
        self.delta = validation.number("delta", delta, low=0.0, high=1.0)
        self.gamma = validation.number("gamma", gamma, low=0.0, high=1.0)
        if self.gamma == 1:
            raise ValueError("gamma must be below 1, where the Tversky part is constant, got 1")
        validation.one_of("form", form, ("asymmetric", "symmetric"))
        self.form = form

    @property
    def shares(self) -> tuple[float, float]:
        return 1 - self.focal_share, self.focal_share

    @property
    def exponents(self) -> tuple[float, float]:
        """Of the Tversky part, for background and foreground."""
        lifted = 1 - self.gamma
        return (lifted if self.form == "symmetric" else 1.0), lifted

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return F.unified_focal_tversky(s, self.delta, self.exponents, self.smooth_pair)

    def pixel_mass(self, batch: Batch) -> Tensor:
        """What the mean of the pixel loss divides by."""
        return pixel_mass(batch)

    def region_values(self, batch: Batch, s: RegionStatistics) -> Tensor:
        if batch.one_vs_rest:
            return F.binary_unified_focal_tversky(s, self.delta, self.exponents, self.smooth_pair)
        return self.from_statistics(s)

    def pixel_values(self, batch: Batch, s: RegionStatistics) -> Tensor:
        if self.form == "symmetric":
            return focal_values(self, batch, self.gamma, self.delta)
        cost, question_cost = F.asymmetric_focal, F.binary_asymmetric_focal
        return labelled_values(self, batch, cost, question_cost, self.gamma, self.delta)
