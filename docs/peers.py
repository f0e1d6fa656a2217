"""What other libraries call it: the tables of ``docs/peers.md``, written by ``make tables``."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from page_tables import with_table

PAGE = Path(__file__).with_name("peers.md")


class Row(NamedTuple):
    """A loss of another library, or options of it, and the same of ours.

    Attributes:
        theirs: as it is called there, with the options that the row is about.
        here: our construction; empty where there is none, and then ``why`` says so.
        why: why the values differ; empty where they are equal.
        note: what else there is to know.
        sample: what both are asked about, see ``tests/reference/peers.py``; None where they can't
            be asked the same.
        every: whether the options mean the same of every loss that has them.
    """

    theirs: str
    here: str = ""
    why: str = ""
    note: str = ""
    sample: str | None = "classes"
    every: bool = False

    @property
    def name(self) -> str:
        """Of their loss."""
        return self.theirs.partition("(")[0]

    @property
    def options(self) -> dict[str, str]:
        """The words of the call, and their values as text."""
        call = ast.parse(self.theirs, mode="eval").body
        if not isinstance(call, ast.Call):
            return {}
        return {word.arg or "": ast.unparse(word.value) for word in call.keywords}


class Peer(NamedTuple):
    """A library.

    Attributes:
        title: its name, and the version or commit that was read.
        head: the first cell of its table; no two are alike.
        rows: its losses and their options.
        elsewhere: reason -> names that have no counterpart for it.
        said: sample -> the words that a loss of theirs is told beside those of a row.
        functions: name -> the loss that has its rows: a function that a class calls, or the same
            by another name.
    """

    title: str
    head: str
    rows: tuple[Row, ...]
    elsewhere: dict[str, tuple[str, ...]]
    said: Mapping[str, str]
    functions: Mapping[str, str] = MappingProxyType({})


_PIXEL_MEAN = "theirs is a mean over classes too: a third of ours, of three classes"
_ONE_SKELETON = (
    "theirs adds up the channels of an image before it divides; ours is the mean over classes"
)
_SUM_OF_MEANS = "theirs adds up images and classes of a mean over voxels, ours voxels"
_NONE_OF_MEANS = "theirs has a number an image and class, ours one a voxel, `(N, *S)`"
_PIXEL_SUM = "ours adds up pixels of a mean over classes: a third of theirs, of three classes"

MONAI = Peer(
    title="MONAI 1.6.1",
    head="MONAI",
    said={
        "classes": "softmax=True, to_onehot_y=True",
        "ignored": "softmax=True, to_onehot_y=True",
        "questions": "sigmoid=True",
        "mask": "sigmoid=True",
        "soft": "softmax=True",
        "probabilities": "to_onehot_y=True",
        "two": "to_onehot_y=True",
        "levels": "",
    },
    rows=(
        Row("DiceLoss(softmax=True, to_onehot_y=True)", "DiceLoss()"),
        Row("DiceLoss(sigmoid=True)", 'DiceLoss(activation="sigmoid")', sample="questions"),
        Row(
            "DiceLoss(softmax=True)",
            "DiceLoss()",
            note="of soft labels; targets of masks are known by their channels: no word says so",
            sample="soft",
            every=True,
        ),
        Row(
            "DiceLoss(to_onehot_y=True)",
            'DiceLoss(activation="identity")',
            sample="probabilities",
            every=True,
        ),
        Row("DiceLoss(sigmoid=True)", 'DiceLoss(activation="sigmoid")', sample="mask", every=True),
        Row(
            "DiceLoss(other_act=act)",
            'DiceLoss(activation="identity")',
            note="call it with `act(logits)`, in [0, 1]",
            sample=None,
            every=True,
        ),
        Row("DiceLoss(include_background=False)", "DiceLoss(include_background=False)", every=True),
        Row('DiceLoss(reduction="sum")', 'DiceLoss(reduction="sum")', every=True),
        Row(
            'DiceLoss(reduction="none")',
            'DiceLoss(reduction="none")',
            note="`(N, C)`; there with an axis of length 1 for every axis of space",
            every=True,
        ),
        Row("DiceLoss(smooth_nr=0.1, smooth_dr=0.2)", "DiceLoss(smooth=(0.1, 0.2))", every=True),
        Row("DiceLoss(batch=True)", "DiceLoss(per_image=False)", every=True),
        Row(
            "DiceLoss(weight=[0.5, 1.0, 1.5])",
            "DiceLoss(class_weight=[0.5, 1.0, 1.5])",
            note="there the mean divides by the number of classes, here by the sum of the weights:"
            " equal for weights of mean 1",
            every=True,
        ),
        Row("DiceLoss(soft_label=True)", 'DiceLoss(overlap="minimum")', sample="soft", every=True),
        Row(
            "DiceLoss(ignore_index=255)", "DiceLoss(ignore_index=255)", sample="ignored", every=True
        ),
        Row("DiceLoss(squared_pred=True)", "PowerDiceLoss(power=2.0, per_image=True)"),
        Row(
            "DiceLoss(jaccard=True)",
            "JaccardLoss(smooth=5e-6)",
            note="its `smooth` stands beside twice the union",
        ),
        Row(
            "MaskedDiceLoss()",
            "DiceLoss()",
            note="its third argument is `weight=` of every loss here",
        ),
        Row("MaskedDiceLoss(squared_pred=True)", "PowerDiceLoss(power=2.0, per_image=True)"),
        Row("MaskedDiceLoss(jaccard=True)", "JaccardLoss(smooth=5e-6)"),
        Row("DiceCELoss()", "DiceCELoss()"),
        Row(
            "DiceCELoss(lambda_dice=0.5, lambda_ce=2.0)",
            "DiceCELoss(lambda_dice=0.5, lambda_ce=2.0)",
        ),
        Row(
            "DiceCELoss(to_onehot_y=True)",
            'DiceCELoss(activation="identity")',
            "without an activation theirs takes Dice of the input and cross-entropy of scores",
            sample="probabilities",
        ),
        Row(
            'DiceCELoss(reduction="none")',
            'DiceCELoss(reduction="none")',
            "theirs refuses the word",
            sample=None,
        ),
        Row("DiceCELoss(label_smoothing=0.1)", "DiceCELoss(label_smoothing=0.1)"),
        Row(
            "DiceCELoss(weight=torch.tensor([0.5, 1.0, 1.5]))",
            'DiceCELoss(class_weight=[0.5, 1.0, 1.5], normalize="weights")',
        ),
        Row(
            "DiceCELoss(squared_pred=True)",
            "CompoundLoss([PowerDiceLoss(power=2.0, per_image=True), CrossEntropyLoss()])",
        ),
        Row(
            "DiceCELoss(jaccard=True)",
            "CompoundLoss([JaccardLoss(smooth=5e-6), CrossEntropyLoss()])",
        ),
        Row(
            "DiceFocalLoss()",
            'CompoundLoss([DiceLoss(), FocalLoss(activation="sigmoid")])',
            note="its focal part asks a question a class, whatever the activation; ours of this name"
            " has one activation",
        ),
        Row(
            "DiceFocalLoss(lambda_dice=0.5, lambda_focal=2.0, gamma=1.0)",
            'CompoundLoss([DiceLoss(), FocalLoss(gamma=1.0, activation="sigmoid")], weights=[0.5, 2.0])',
        ),
        Row(
            "DiceFocalLoss(alpha=0.25)",
            'CompoundLoss([DiceLoss(), FocalLoss(alpha=0.25, activation="sigmoid")])',
        ),
        Row(
            "DiceFocalLoss(squared_pred=True)",
            'CompoundLoss([PowerDiceLoss(power=2.0, per_image=True), FocalLoss(activation="sigmoid")])',
        ),
        Row(
            "DiceFocalLoss(jaccard=True)",
            'CompoundLoss([JaccardLoss(smooth=5e-6), FocalLoss(activation="sigmoid")])',
        ),
        Row("GeneralizedDiceLoss(smooth_nr=0.0, smooth_dr=0.0)", "GeneralizedDiceLoss(smooth=0.0)"),
        Row("GeneralizedDiceLoss()", "GeneralizedDiceLoss()", note="up to `smooth`"),
        Row(
            "GeneralizedDiceLoss(smooth_nr=0.1, smooth_dr=0.2)",
            "GeneralizedDiceLoss(smooth=(0.1, 0.2))",
            "theirs stands beside sums of 1 / Y²; ours divides the weights by the largest first, `metriseg_monai` doesn't",
        ),
        Row('GeneralizedDiceLoss(w_type="simple")', 'GeneralizedDiceLoss(weighting="simple")'),
        Row('GeneralizedDiceLoss(w_type="uniform")', 'GeneralizedDiceLoss(weighting="uniform")'),
        Row(
            "GeneralizedDiceFocalLoss()",
            'CompoundLoss([GeneralizedDiceLoss(), FocalLoss(activation="sigmoid")])',
            note="as `DiceFocalLoss`",
        ),
        Row(
            'GeneralizedDiceFocalLoss(w_type="simple", gamma=1.0, lambda_gdl=2.0, lambda_focal=0.5)',
            'CompoundLoss([GeneralizedDiceLoss(weighting="simple"), FocalLoss(gamma=1.0, activation="sigmoid")],'
            " weights=[2.0, 0.5])",
        ),
        Row(
            "GeneralizedWassersteinDiceLoss(dist_matrix=np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.5], [1.0, 0.5, 0.0]]))",
            "GeneralizedWassersteinDiceLoss(distances=[[0, 1, 1], [1, 0, 0.5], [1, 0.5, 0]])",
        ),
        Row(
            "GeneralizedWassersteinDiceLoss(dist_matrix=np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.5], [1.0, 0.5, 0.0]]),"
            ' weighting_mode="GDL")',
            "GeneralizedWassersteinDiceLoss(distances=[[0, 1, 1], [1, 0, 0.5], [1, 0.5, 0]],"
            ' weighting="GDL")',
        ),
        Row("TverskyLoss()", "TverskyLoss(fp_weight=0.5, fn_weight=0.5)"),
        Row(
            "TverskyLoss(alpha=0.3, beta=0.7)",
            "TverskyLoss(fp_weight=0.3, fn_weight=0.7)",
            note="their alpha weighs false positives",
        ),
        Row("FocalLoss(to_onehot_y=True)", 'FocalLoss(activation="sigmoid")'),
        Row(
            "FocalLoss(to_onehot_y=True, use_softmax=True)",
            "FocalLoss()",
            _PIXEL_MEAN,
        ),
        Row(
            "FocalLoss(gamma=1.0, alpha=0.25)",
            'FocalLoss(gamma=1.0, alpha=0.25, activation="sigmoid")',
        ),
        Row(
            "FocalLoss(ignore_index=255)",
            'FocalLoss(ignore_index=255, activation="sigmoid")',
            "theirs divides by pixels alone as soon as some may be ignored: ours times the number of classes",
            sample="ignored",
        ),
        Row(
            "FocalLoss(include_background=False)",
            'FocalLoss(include_background=False, activation="sigmoid")',
        ),
        Row(
            "FocalLoss(weight=[0.5, 1.0, 1.5])",
            'FocalLoss(class_weight=[0.5, 1.0, 1.5], activation="sigmoid")',
        ),
        Row(
            'FocalLoss(reduction="sum")',
            'FocalLoss(reduction="sum", activation="sigmoid")',
            "theirs adds up images and classes of a mean over pixels",
        ),
        Row("HausdorffDTLoss()", "HausdorffDistanceTransformLoss()"),
        Row("HausdorffDTLoss(alpha=1.0)", "HausdorffDistanceTransformLoss(alpha=1.0)"),
        Row(
            "HausdorffDTLoss(batch=True)",
            "HausdorffDistanceTransformLoss()",
            note="a mean over the images either way",
        ),
        Row(
            'HausdorffDTLoss(reduction="sum")',
            'HausdorffDistanceTransformLoss(reduction="sum")',
            _SUM_OF_MEANS,
        ),
        Row(
            'HausdorffDTLoss(reduction="none")',
            'HausdorffDistanceTransformLoss(reduction="none")',
            _NONE_OF_MEANS,
        ),
        Row("LogHausdorffDTLoss()", "LogHausdorffDistanceTransformLoss()"),
        Row("LogHausdorffDTLoss(alpha=1.0)", "LogHausdorffDistanceTransformLoss(alpha=1.0)"),
        Row(
            "LogHausdorffDTLoss(batch=True)",
            "LogHausdorffDistanceTransformLoss()",
            note="a mean over the images either way",
        ),
        Row(
            'LogHausdorffDTLoss(reduction="sum")',
            'LogHausdorffDistanceTransformLoss(reduction="sum")',
            "theirs adds up images and classes",
        ),
        Row(
            'LogHausdorffDTLoss(reduction="none")',
            'LogHausdorffDistanceTransformLoss(reduction="none")',
            _NONE_OF_MEANS,
        ),
        Row("BoundaryLoss()", "BoundaryLoss(include_background=True)"),
        Row(
            "BoundaryLoss(batch=True)",
            "BoundaryLoss(include_background=True)",
            note="a mean over the images either way",
        ),
        Row(
            'BoundaryLoss(reduction="sum")',
            'BoundaryLoss(include_background=True, reduction="sum")',
            _SUM_OF_MEANS,
        ),
        Row(
            'BoundaryLoss(reduction="none")',
            'BoundaryLoss(include_background=True, reduction="none")',
            _NONE_OF_MEANS,
        ),
        Row("MCCLoss()", "MatthewsCorrelationLoss(smooth=(0.0, 1e-5))"),
        Row(
            "MCCLoss(smooth_nr=0.1, smooth_dr=0.2)",
            "MatthewsCorrelationLoss(smooth=(0.1, 0.2))",
            "theirs are added to products of counts, ours are so many pixels of every count; `metriseg_monai.MCCLoss` is theirs",
        ),
        Row("SoftclDiceLoss()", "CenterlineDiceLoss(include_background=True)", _ONE_SKELETON),
        Row(
            "SoftclDiceLoss(iter_=2, smooth=1e-8)",
            'CenterlineDiceLoss(iterations=2, include_background=True, activation="sigmoid")',
            note="their `smooth` is a third one, which leaves 5e-5 at a perfect prediction",
            sample="mask",
        ),
        Row(
            "SoftclDiceLoss(smooth_nr=0.1, smooth_dr=0.2)",
            "CenterlineDiceLoss(smooth=(0.1, 0.2), include_background=True)",
            "as above",
        ),
        Row(
            "SoftDiceclDiceLoss()", "DiceCenterlineDiceLoss(include_background=True)", _ONE_SKELETON
        ),
        Row(
            "SoftDiceclDiceLoss(iter_=2, alpha=0.3, smooth=1e-8)",
            'DiceCenterlineDiceLoss(iterations=2, alpha=0.3, include_background=True, activation="sigmoid")',
            sample="mask",
        ),
        Row(
            "SoftDiceclDiceLoss(smooth=1e-8, smooth_nr=0.1, smooth_dr=0.2)",
            'DiceCenterlineDiceLoss(smooth=(0.1, 0.2), include_background=True, activation="sigmoid")',
            sample="mask",
        ),
        Row(
            'SoftclDiceLoss(reduction="sum")',
            'CenterlineDiceLoss(include_background=True, reduction="sum")',
            "theirs adds up images, ours images and classes",
        ),
        Row(
            'SoftclDiceLoss(reduction="none")',
            'CenterlineDiceLoss(include_background=True, reduction="none")',
            "theirs has a number an image, ours one an image and class",
        ),
        Row("NACLLoss(classes=3, dim=2)", "NeighborAwareCalibrationLoss()"),
        Row(
            'NACLLoss(classes=3, dim=2, kernel_size=5, distance_type="l2", alpha=0.3)',
            'NeighborAwareCalibrationLoss(window=5, norm="l2", penalty_weight=0.3)',
        ),
        Row(
            'NACLLoss(classes=3, dim=2, kernel_ops="gaussian", sigma=2.0)',
            "",
            "neighbours count alike here",
        ),
        Row(
            "AsymmetricUnifiedFocalLoss()",
            'CompoundLoss([UnifiedFocalLoss(focal_share=1 / 3, delta=0.7, smooth=1e-7, activation="identity")], weights=[0.75])',
            note="its focal part is a mean over both classes, half of ours; `metriseg_monai` has it by this name",
            sample="two",
        ),
        Row(
            "AsymmetricUnifiedFocalLoss(num_classes=2, weight=0.4, gamma=0.75, delta=0.6)",
            'CompoundLoss([UnifiedFocalLoss(focal_share=0.25, gamma=0.75, smooth=1e-7, activation="identity")], weights=[0.8])',
            note="`focal_share=w / (2 - w)`, times 1 - w / 2",
            sample="two",
        ),
        Row(
            "DeepSupervisionLoss(loss=DiceLoss())",
            "DeepSupervisionLoss(DiceLoss(), normalize=False)",
            sample=None,
        ),
        Row(
            'DeepSupervisionLoss(loss=DiceLoss(), weight_mode="same")',
            'DeepSupervisionLoss(DiceLoss(), "equal", normalize=False)',
            note='"exp" is `"halving"`, "two" is `"half"`',
            sample=None,
        ),
        Row(
            "DeepSupervisionLoss(loss=DiceLoss(), weights=[1.0, 0.5])",
            "DeepSupervisionLoss(DiceLoss(), [1.0, 0.5], normalize=False)",
            sample=None,
        ),
        Row(
            "MaskedLoss(loss=DiceLoss)",
            "DiceLoss()",
            note="the mask is `weight=` of every loss here",
            sample=None,
        ),
        Row(
            "MaskedLoss(loss_args=(), loss_kwargs={})",
            "DiceLoss()",
            note="words of the loss within",
            sample=None,
        ),
    ),
    elsewhere={
        "compare images with images, fields or features": (
            *("BarlowTwinsLoss", "BendingEnergyLoss", "ContrastiveLoss", "DiffusionLoss"),
            *("GlobalMutualInformationLoss", "JukeboxLoss", "LocalNormalizedCrossCorrelationLoss"),
            *("MultiScaleLoss", "PatchAdversarialLoss", "PerceptualLoss", "SSIMLoss", "SURELoss"),
        ),
        "judges classes of whole images": ("AUCMLoss",),
        "compares boxes": ("BoxGIoULoss",),
    },
)

SMP = Peer(
    title="segmentation_models.pytorch 0.6.0",
    head="segmentation_models.pytorch",
    said={
        "classes": 'mode="multiclass"',
        "ignored": 'mode="multiclass"',
        "probabilities": 'mode="multiclass"',
        "questions": 'mode="multilabel"',
        "soft questions": 'mode="multilabel"',
        "mask": 'mode="binary"',
    },
    rows=(
        Row(
            'DiceLoss(mode="multiclass")',
            "DiceLoss(smooth=0.0, per_image=False)",
            note="a class that isn't there costs nothing, but counts in the mean; here it costs"
            ' almost 1 if it is predicted, and `classes="present"` leaves it out',
        ),
        Row(
            'DiceLoss(mode="multilabel")',
            'DiceLoss(smooth=0.0, per_image=False, activation="sigmoid")',
            sample="questions",
            every=True,
        ),
        Row(
            'DiceLoss(mode="binary")',
            'DiceLoss(smooth=0.0, per_image=False, activation="sigmoid")',
            sample="mask",
            every=True,
        ),
        Row(
            'DiceLoss(mode="multilabel")',
            'DiceLoss(smooth=0.0, per_image=False, activation="sigmoid", overlap="minimum")',
            note="of soft labels",
            sample="soft questions",
        ),
        Row(
            "DiceLoss(classes=[1, 2])",
            "DiceLoss(class_weight=[0, 1, 1], smooth=0.0, per_image=False)",
            every=True,
        ),
        Row(
            "DiceLoss(log_loss=True)",
            "ExponentialLogarithmicLoss(lambda_dice=1.0, lambda_ce=0.0, gamma_dice=1.0, smooth=0.0,"
            " per_image=False)",
        ),
        Row(
            "DiceLoss(from_logits=False)",
            'DiceLoss(activation="identity", smooth=0.0, per_image=False)',
            sample="probabilities",
            every=True,
        ),
        Row(
            "DiceLoss(smooth=0.5)",
            "DiceLoss(smooth=1.0, per_image=False)",
            note="theirs stands beside half of 2 I",
        ),
        Row(
            "DiceLoss(ignore_index=255)",
            "DiceLoss(ignore_index=255, smooth=0.0, per_image=False)",
            sample="ignored",
            every=True,
        ),
        Row(
            "DiceLoss(eps=1e-6)",
            "DiceLoss(smooth=0.0, per_image=False)",
            note="guards a division by 0, which can't happen here",
            every=True,
        ),
        Row(
            "DiceLoss(class_weights=[1.0, 2.0, 3.0])",
            "DiceLoss(class_weight=[1.0, 2.0, 3.0], smooth=0.0, per_image=False)",
            every=True,
        ),
        Row('JaccardLoss(mode="multiclass")', "JaccardLoss(smooth=0.0, per_image=False)"),
        Row("JaccardLoss(smooth=0.5)", "JaccardLoss(smooth=0.5, per_image=False)"),
        Row(
            "JaccardLoss(log_loss=True)",
            "",
            "only Dice has a logarithm here: `ExponentialLogarithmicLoss`",
        ),
        Row('TverskyLoss(mode="multiclass")', "TverskyLoss(0.5, 0.5, smooth=0.0, per_image=False)"),
        Row(
            "TverskyLoss(alpha=0.3, beta=0.7, smooth=0.5)",
            "TverskyLoss(fp_weight=0.3, fn_weight=0.7, smooth=0.5, per_image=False)",
            note="their alpha weighs false positives",
        ),
        Row(
            "TverskyLoss(alpha=0.3, beta=0.7, gamma=0.75)",
            "FocalTverskyLoss(0.3, 0.7, gamma=4 / 3, smooth=0.0, per_image=False)",
            "theirs is a power of the mean over classes, ours the mean of the powers (equal for one"
            " class); their gamma is 1 / gamma of the paper",
        ),
        Row("TverskyLoss(log_loss=True)", "", "only Dice has a logarithm here"),
        Row(
            'FocalLoss(mode="multiclass")',
            'FocalLoss(activation="sigmoid")',
            note="of several classes too it asks a question a class, and is a mean over classes",
        ),
        Row(
            "FocalLoss(gamma=1.0, alpha=0.25)",
            'FocalLoss(gamma=1.0, alpha=0.25, activation="sigmoid")',
        ),
        Row('FocalLoss(mode="multilabel")', 'FocalLoss(activation="sigmoid")', sample="questions"),
        Row('FocalLoss(mode="binary")', 'FocalLoss(activation="sigmoid")', sample="mask"),
        Row(
            "FocalLoss(ignore_index=255)",
            'FocalLoss(activation="sigmoid", ignore_index=255)',
            sample="ignored",
        ),
        Row(
            "FocalLoss(class_weights=[1.0, 2.0, 3.0])",
            'FocalLoss(activation="sigmoid", class_weight=[0.5, 1.0, 1.5])',
            note="theirs divides by the sum of the weights: here give weights of mean 1",
        ),
        Row(
            "FocalLoss(from_logits=False)",
            'FocalLoss(activation="identity")',
            "theirs takes the logarithm of probabilities of several classes for scores of questions",
            sample="probabilities",
        ),
        Row(
            'FocalLoss(mode="binary", from_logits=False, eps=1e-7)',
            'FocalLoss(activation="identity")',
            note="ours keeps probabilities 1e-7 off 0 and 1 too",
            sample="probability",
        ),
        Row(
            'FocalLoss(reduction="sum")',
            'FocalLoss(activation="sigmoid", reduction="sum")',
            note="both add up pixels of a mean over classes",
        ),
        Row(
            "FocalLoss(normalized=True)",
            "",
            "divides by the sum of the focal factors: a rule that ours lacks",
        ),
        Row(
            "FocalLoss(reduced_threshold=0.5)",
            "",
            "the reduced focal loss (full price below a probability): ours lacks it",
        ),
        Row('LovaszLoss(mode="multiclass")', "LovaszSoftmaxLoss()"),
        Row("LovaszLoss(per_image=True)", "LovaszSoftmaxLoss(per_image=True)"),
        Row(
            "LovaszLoss(ignore_index=255)", "LovaszSoftmaxLoss(ignore_index=255)", sample="ignored"
        ),
        Row('LovaszLoss(mode="binary")', "LovaszHingeLoss(per_image=False)", sample="mask"),
        Row(
            'LovaszLoss(mode="multilabel")',
            "LovaszHingeLoss(per_image=False)",
            "theirs takes all classes for one; ours is the mean over classes",
            sample="questions",
        ),
        Row(
            "LovaszLoss(from_logits=False)",
            'LovaszSoftmaxLoss(activation="identity")',
            "theirs takes the word and applies the softmax again",
            sample="probabilities",
        ),
        Row(
            "MCCLoss()",
            'MatthewsCorrelationLoss(activation="identity", per_image=False)',
            note="theirs takes probabilities of one channel; of several it takes all for one",
            sample="probability",
        ),
        Row(
            "MCCLoss(eps=0.0)",
            'MatthewsCorrelationLoss(activation="identity", per_image=False, smooth=0.0)',
            note="their eps is added to every count, ours as everywhere",
            sample="probability",
        ),
        Row(
            "SoftBCEWithLogitsLoss()", 'CrossEntropyLoss(activation="sigmoid")', sample="questions"
        ),
        Row(
            "SoftBCEWithLogitsLoss(ignore_index=255)",
            'CrossEntropyLoss(activation="sigmoid")',
            "theirs counts ignored pixels as zeros; ours with masks takes a `weight`",
            sample=None,
        ),
        Row(
            'SoftBCEWithLogitsLoss(reduction="sum")',
            'CrossEntropyLoss(activation="sigmoid", reduction="sum")',
            _PIXEL_SUM,
            sample="questions",
        ),
        Row(
            "SoftBCEWithLogitsLoss(smooth_factor=0.1)",
            'CrossEntropyLoss(activation="sigmoid", label_smoothing=0.2)',
            note="theirs moves both answers by it, torch's `label_smoothing` by half of it",
            sample="questions",
        ),
        Row(
            "SoftBCEWithLogitsLoss(pos_weight=torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1))",
            'CrossEntropyLoss(activation="sigmoid", pos_weight=[1.0, 2.0, 3.0])',
            sample="questions",
        ),
        Row(
            "SoftBCEWithLogitsLoss(weight=torch.tensor([0.5, 1.0, 1.5]).view(3, 1, 1))",
            'CrossEntropyLoss(activation="sigmoid", class_weight=[0.5, 1.0, 1.5])',
            note="of pixels: `weight=` of the call",
            sample="questions",
        ),
        Row(
            "SoftCrossEntropyLoss(smooth_factor=0.0)",
            "CrossEntropyLoss()",
            note="without a `smooth_factor` theirs fails",
        ),
        Row("SoftCrossEntropyLoss(smooth_factor=0.1)", "CrossEntropyLoss(label_smoothing=0.1)"),
        Row(
            'SoftCrossEntropyLoss(smooth_factor=0.1, reduction="sum")',
            'CrossEntropyLoss(label_smoothing=0.1, reduction="sum")',
        ),
        Row(
            "SoftCrossEntropyLoss(smooth_factor=0.1, ignore_index=255)",
            "CrossEntropyLoss(label_smoothing=0.1, ignore_index=255)",
            "theirs divides by all pixels, ours by those that count",
            sample="ignored",
        ),
        Row(
            "SoftCrossEntropyLoss(smooth_factor=0.0, dim=1)",
            "CrossEntropyLoss()",
            note="classes are always axis 1 here",
        ),
    ),
    elsewhere={},
)

MMSEG = Peer(
    title="MMSegmentation 1.x (the maintained fork, 1.4)",
    head="MMSegmentation",
    said={},
    functions={
        "cross_entropy": "CrossEntropyLoss",
        "binary_cross_entropy": "CrossEntropyLoss",
        "mask_cross_entropy": "CrossEntropyLoss",
    },
    rows=(
        Row(
            "CrossEntropyLoss()",
            "CrossEntropyLoss(ignore_index=255)",
            "theirs divides by all pixels, ours by those that count",
            sample="ignored",
        ),
        Row(
            "CrossEntropyLoss(avg_non_ignore=True)",
            "CrossEntropyLoss(ignore_index=255)",
            sample="ignored",
        ),
        Row(
            "CrossEntropyLoss(use_sigmoid=True, avg_non_ignore=True)",
            'CrossEntropyLoss(activation="sigmoid", ignore_index=255)',
            sample="ignored",
        ),
        Row(
            "CrossEntropyLoss(use_mask=True)",
            'CrossEntropyLoss(activation="sigmoid")',
            note="one mask a region, the channel of its class: `metriseg_mmseg.MaskLoss`",
            sample=None,
        ),
        Row(
            "CrossEntropyLoss(loss_weight=0.4)",
            "CompoundLoss([CrossEntropyLoss()], weights=[0.4])",
            note="`loss_weight` in the plugin",
            every=True,
        ),
        Row(
            'CrossEntropyLoss(loss_name="loss_ce")',
            "CrossEntropyLoss()",
            note="`loss_name` in the plugin",
            every=True,
        ),
        Row('CrossEntropyLoss(reduction="sum")', 'CrossEntropyLoss(reduction="sum")', every=True),
        Row(
            "CrossEntropyLoss(class_weight=[0.5, 1.0, 1.5])",
            'CrossEntropyLoss(class_weight=[0.5, 1.0, 1.5], normalize="weights")',
        ),
        Row(
            "OhemCrossEntropy(ignore_label=255, thres=0.7, min_kept=20)",
            "TopKLoss(threshold=0.7, min_kept=20, ignore_index=255)",
            sample="ignored",
        ),
        Row(
            "OhemCrossEntropy(thres=0.7, min_kept=20, class_weight=[0.5, 1.0, 1.5])",
            "TopKLoss(threshold=0.7, min_kept=20, class_weight=[0.5, 1.0, 1.5])",
        ),
        Row(
            "DiceLoss(use_sigmoid=False)",
            "PowerDiceLoss(power=2.0, smooth=1e-3, per_image=True)",
            "theirs takes all classes of an image as one vector",
        ),
        Row(
            "DiceLoss(use_sigmoid=False, naive_dice=True, eps=1e-5)",
            "DiceLoss()",
            "theirs takes all classes of an image as one vector",
        ),
        Row(
            "DiceLoss(use_sigmoid=True, naive_dice=True, eps=1e-5)",
            'DiceLoss(activation="sigmoid")',
            "theirs of one channel learns the background",
            sample="mask",
        ),
        Row(
            "DiceLoss(activate=False, naive_dice=True, eps=1e-5)",
            'DiceLoss(activation="identity")',
            "theirs takes all classes of an image as one vector",
            sample="probabilities",
        ),
        Row(
            "DiceLoss(ignore_index=255)",
            "DiceLoss(ignore_index=255)",
            "theirs is the number of a channel",
            sample=None,
        ),
        Row(
            "FocalLoss(use_sigmoid=True, gamma=2.0, alpha=0.25)",
            'FocalLoss(activation="sigmoid", gamma=2.0, alpha=0.25)',
            note="theirs needs a GPU",
            sample=None,
        ),
        Row(
            "FocalLoss(class_weight=[0.5, 1.0, 1.5])",
            'FocalLoss(class_weight=[0.5, 1.0, 1.5], activation="sigmoid")',
            sample=None,
        ),
        Row(
            "FocalLoss(use_sigmoid=False)", "FocalLoss()", "theirs refuses the softmax", sample=None
        ),
        Row(
            'LovaszLoss(reduction="none")',
            "LovaszSoftmaxLoss(ignore_index=255)",
            note="theirs wants this word",
            sample="ignored",
        ),
        Row(
            'LovaszLoss(reduction="none", class_weight=[0.5, 1.0, 1.5])',
            "LovaszSoftmaxLoss(class_weight=[0.5, 1.0, 1.5])",
            note="theirs divides by the number of classes, ours by the sum of the weights: equal for weights of mean 1",
        ),
        Row(
            'LovaszLoss(per_image=True, classes="all")',
            'LovaszSoftmaxLoss(per_image=True, classes="all")',
        ),
        Row(
            'LovaszLoss(loss_type="binary", per_image=True)',
            "LovaszHingeLoss(per_image=True)",
            sample="mask",
        ),
        Row("TverskyLoss()", "TverskyLoss(smooth=1.0)"),
        Row(
            "TverskyLoss(smooth=0.1, alpha=0.4, beta=0.6)",
            "TverskyLoss(fp_weight=0.4, fn_weight=0.6, smooth=0.1)",
            note="their alpha weighs false positives",
        ),
        Row(
            "TverskyLoss(class_weight=[0.5, 1.0, 1.5])",
            "TverskyLoss(class_weight=[0.5, 1.0, 1.5], smooth=1.0)",
            note="as above",
        ),
        Row(
            "TverskyLoss(ignore_index=255)",
            "TverskyLoss(ignore_index=255, smooth=1.0)",
            sample="ignored",
        ),
        Row(
            "HuasdorffDisstanceLoss()",
            "HausdorffDistanceTransformLoss()",
            "theirs compares every class with the number of the label",
        ),
        Row(
            "HuasdorffDisstanceLoss(class_weight=[0.5, 1.0, 1.5])",
            "HausdorffDistanceTransformLoss(class_weight=[0.5, 1.0, 1.5])",
            "theirs refuses weights of more classes than one",
            sample=None,
        ),
        Row(
            "HuasdorffDisstanceLoss(ignore_index=255)",
            "HausdorffDistanceTransformLoss(ignore_index=255)",
            "as above",
            sample="ignored",
        ),
        Row(
            "BoundaryLoss()",
            'CrossEntropyLoss(activation="sigmoid", balance="image")',
            "PIDNet's edges: theirs balances over the batch and divides by all pixels; ours of the name `BoundaryLoss` is another loss",
            sample="mask",
        ),
        Row(
            "KLDivLoss()",
            "CrossEntropyLoss()",
            "not exported; it hands torch's `kl_div` probabilities in place of their logarithms. Of soft labels cross-entropy has the gradient of the divergence",
            sample=None,
        ),
        Row("KLDivLoss(temperature=2.0)", "", "divide logits by it"),
    ),
    elsewhere={
        "measure, don't train": ("Accuracy", "accuracy"),
        "compares depths": ("SiLogLoss",),
        "build losses": ("reduce_loss", "weight_reduce_loss", "weighted_loss"),
    },
)

TORCH = Peer(
    title="PyTorch",
    head="PyTorch",
    said={},
    rows=(
        Row("CrossEntropyLoss()", "CrossEntropyLoss()"),
        Row(
            "CrossEntropyLoss(weight=torch.tensor([0.5, 1.0, 1.5]))",
            'CrossEntropyLoss(class_weight=[0.5, 1.0, 1.5], normalize="weights")',
        ),
        Row(
            "CrossEntropyLoss(ignore_index=255)",
            "CrossEntropyLoss(ignore_index=255)",
            sample="ignored",
            note="all ignored: NaN there, 0 here",
        ),
        Row("CrossEntropyLoss(label_smoothing=0.1)", "CrossEntropyLoss(label_smoothing=0.1)"),
        Row('CrossEntropyLoss(reduction="sum")', 'CrossEntropyLoss(reduction="sum")', every=True),
        Row('CrossEntropyLoss(reduction="none")', 'CrossEntropyLoss(reduction="none")'),
        Row(
            "CrossEntropyLoss(size_average=None, reduce=None)",
            "CrossEntropyLoss()",
            note="deprecated there for `reduction`",
            every=True,
        ),
        Row(
            "LinearCrossEntropyLoss(in_features=8, num_classes=3, out_features=())",
            "CrossEntropyLoss()",
            "takes features and makes logits itself, without keeping them: leave it in place, or give ours the logits",
            sample=None,
        ),
        Row(
            "LinearCrossEntropyLoss(weight=None, ignore_index=255, label_smoothing=0.1)",
            'CrossEntropyLoss(normalize="weights", ignore_index=255, label_smoothing=0.1)',
            "as above",
            sample=None,
        ),
        Row(
            "LinearCrossEntropyLoss(bias=True, device=None, dtype=None, options=None)",
            "",
            "of its linear layer",
        ),
        Row(
            "NLLLoss()",
            "CrossEntropyLoss()",
            note="of log-probabilities, which are logits too",
            sample="log-probabilities",
        ),
        Row(
            "NLLLoss(weight=torch.tensor([0.5, 1.0, 1.5]), ignore_index=255)",
            'CrossEntropyLoss(class_weight=[0.5, 1.0, 1.5], normalize="weights", ignore_index=255)',
            sample="log-probabilities",
        ),
        Row(
            "NLLLoss2d()",
            "CrossEntropyLoss()",
            note="of log-probabilities",
            sample="log-probabilities",
        ),
        Row("BCEWithLogitsLoss()", 'CrossEntropyLoss(activation="sigmoid")', sample="questions"),
        Row(
            "BCEWithLogitsLoss(weight=torch.tensor([0.5, 1.0, 1.5]).view(3, 1, 1))",
            'CrossEntropyLoss(activation="sigmoid", class_weight=[0.5, 1.0, 1.5])',
            note="of pixels: `weight=` of the call, and the mean divides by it",
            sample="questions",
        ),
        Row(
            "BCEWithLogitsLoss(pos_weight=torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1))",
            'CrossEntropyLoss(activation="sigmoid", pos_weight=[1.0, 2.0, 3.0])',
            sample="questions",
        ),
        Row("BCELoss()", 'CrossEntropyLoss(activation="identity")', sample="probability"),
        Row(
            "BCELoss(weight=torch.tensor([2.0]))",
            'CompoundLoss([CrossEntropyLoss(activation="identity")], weights=[2.0])',
            sample="probability",
        ),
        Row(
            "MultiLabelSoftMarginLoss()",
            'CrossEntropyLoss(activation="sigmoid")',
            sample="questions",
        ),
        Row(
            "MultiLabelSoftMarginLoss(weight=torch.tensor([0.5, 1.0, 1.5]))",
            'CrossEntropyLoss(activation="sigmoid", class_weight=[0.5, 1.0, 1.5])',
            note="classes are its last axis",
            sample=None,
        ),
        Row(
            "SoftMarginLoss()",
            'CrossEntropyLoss(activation="sigmoid")',
            note="targets of -1 and 1",
            sample="signs",
        ),
        Row(
            "KLDivLoss()",
            "CrossEntropyLoss()",
            "of soft labels cross-entropy is larger by their entropy, which has no gradient",
            sample=None,
        ),
        Row(
            "KLDivLoss(log_target=True)",
            "CrossEntropyLoss()",
            "give the exponential of it",
            sample=None,
        ),
        Row(
            "TripletMarginLoss(margin=0.2)",
            "TripletLoss(margin=0.2)",
            "theirs is told the triplets and takes plain distances; ours finds them among the pixels' `features`",
            sample=None,
        ),
        Row(
            "TripletMarginLoss(p=2, eps=1e-6, swap=True)",
            "",
            "distances are squared Euclidean, and triplets are mined: `mining`",
        ),
        Row(
            "TripletMarginWithDistanceLoss(distance_function=None, margin=0.2, swap=False)",
            "TripletLoss(margin=0.2)",
            "as above",
            sample=None,
        ),
    ),
    elsewhere={
        "compare numbers, not classes": (
            *(
                "L1Loss",
                "MSELoss",
                "SmoothL1Loss",
                "HuberLoss",
                "PoissonNLLLoss",
                "GaussianNLLLoss",
            ),
        ),
        "compare pairs of embeddings, or ranks": (
            *("HingeEmbeddingLoss", "CosineEmbeddingLoss", "MarginRankingLoss"),
        ),
        "hinges of class scores, seldom used for pixels: the Lovász hinge is that of masks": (
            *("MultiMarginLoss", "MultiLabelMarginLoss"),
        ),
        "aligns sequences": ("CTCLoss",),
    },
)

TORCHVISION = Peer(
    title="torchvision",
    head="torchvision",
    said={},
    rows=(
        Row(
            'sigmoid_focal_loss(reduction="mean")',
            'FocalLoss(alpha=0.25, activation="sigmoid")',
            sample="questions",
        ),
        Row(
            'sigmoid_focal_loss(alpha=-1, gamma=1.0, reduction="sum")',
            'FocalLoss(gamma=1.0, activation="sigmoid", reduction="sum")',
            _PIXEL_SUM,
            sample="questions",
        ),
        Row(
            "maskrcnn_loss()",
            'CrossEntropyLoss(activation="sigmoid")',
            note="of the mask of a region's class: the plugin's mask head does it in Detectron2",
            sample=None,
        ),
    ),
    elsewhere={
        "compare boxes": (
            *("complete_box_iou_loss", "distance_box_iou_loss", "generalized_box_iou_loss"),
            *("fastrcnn_loss", "_box_loss"),
        ),
        "compares keypoints": ("keypointrcnn_loss",),
        "sums up a detector's losses": ("compute_loss",),
    },
)

DETECTRON2 = Peer(
    title="Detectron2 0.6, its projects, and fvcore",
    head="Detectron2",
    said={},
    functions={
        "DeepLabV3PlusHead": "DeepLabV3Head",
        "PanopticDeepLabSemSegHead": "DeepLabV3Head",
        "sigmoid_focal_loss_jit": "sigmoid_focal_loss",
        "sigmoid_focal_loss_star_jit": "sigmoid_focal_loss_star",
    },
    rows=(
        Row(
            "mask_rcnn_loss()",
            'CrossEntropyLoss(activation="sigmoid")',
            note="`{NAME: CrossEntropyLoss}` in `LOSSES`",
            sample=None,
        ),
        Row(
            "roi_mask_point_loss()",
            'CrossEntropyLoss(activation="sigmoid")',
            note="PointRend: `{NAME: CrossEntropyLoss}` in `POINT_LOSSES`; outside of it `PointLoss`",
            sample=None,
        ),
        Row(
            "SemSegFPNHead()",
            "CrossEntropyLoss(ignore_index=255)",
            note="`{NAME: CrossEntropyLoss}`; all ignored: NaN there, 0 here",
            sample=None,
        ),
        Row(
            "DeepLabV3Head()",
            "TopKLoss(percent=20.0, ignore_index=255)",
            "the share is of the pixels that count; theirs is of all",
            note="of `LOSS_TYPE: hard_pixel_mining`, its default; with `cross_entropy` as `SemSegFPNHead`",
            sample=None,
        ),
        Row(
            "DeepLabCE(ignore_label=255)",
            "CrossEntropyLoss(ignore_index=255)",
            "theirs divides by all pixels, ours by those that count",
            sample="ignored",
        ),
        Row(
            "DeepLabCE(top_k_percent_pixels=0.2)",
            "TopKLoss(percent=20.0)",
            note="`LOSS_TYPE: hard_pixel_mining`, `LOSS_TOP_K: 0.2`",
        ),
        Row(
            "DeepLabCE(weight=torch.tensor([0.5, 1.0, 1.5]))",
            "CrossEntropyLoss(class_weight=[0.5, 1.0, 1.5])",
        ),
        Row(
            'sigmoid_focal_loss(alpha=0.25, gamma=2, reduction="mean")',
            'FocalLoss(alpha=0.25, activation="sigmoid")',
            sample="questions",
        ),
        Row(
            'sigmoid_focal_loss_star(alpha=-1, gamma=1, reduction="none")',
            "",
            "another focal loss, of a scaled logit: ours lacks it",
        ),
    ),
    elsewhere={
        "compare boxes": (
            *(
                "diou_loss",
                "ciou_loss",
                "giou_loss",
                "smooth_l1_loss",
                "_dense_box_regression_loss",
            ),
            *("box_reg_loss", "RPN"),
        ),
        "compares keypoints": ("keypoint_rcnn_loss",),
        "judge and compare boxes": (
            *("FastRCNNOutputLayers", "RetinaNet", "FCOS", "sigmoid_cross_entropy_loss"),
        ),
        "offsets and heat maps of Panoptic-DeepLab's instances, beside its `DeepLabCE`": (
            *("center_losses", "offset_losses"),
        ),
        "serve others": (
            *("empty_input_loss_func_wrapper", "wrapped_loss_func", "_parse_losses"),
            *("get_fed_loss_cls_weights", "get_fed_loss_classes"),
        ),
        "sums up a head's losses": ("losses",),
    },
)

MASK2FORMER = Peer(
    title="Mask2Former and MaskFormer, their criteria",
    head="Mask2Former, MaskFormer",
    said={},
    rows=(
        Row(
            "sigmoid_ce_loss()",
            'CrossEntropyLoss(activation="sigmoid")',
            note="`loss_mask` of Mask2Former",
            sample=None,
        ),
        Row(
            "sigmoid_focal_loss(alpha=0.25, gamma=2)",
            'FocalLoss(alpha=0.25, activation="sigmoid")',
            note="`loss_mask` of MaskFormer",
            sample=None,
        ),
        Row(
            "dice_loss()",
            'DiceLoss(smooth=1.0, activation="sigmoid")',
            note="`loss_dice` of both",
            sample=None,
        ),
        Row(
            'SetCriterion(losses=["masks"])',
            'CompoundLoss([CrossEntropyLoss(activation="sigmoid"), DiceLoss(smooth=1.0, activation="sigmoid")])',
            note="`MaskCriterionMixin` gives them to the criterion, `weight_dict` weighs them",
            sample=None,
        ),
        Row(
            'SetCriterion(losses=["labels"], num_classes=3, eos_coef=0.1)',
            "",
            "judges classes of queries, not of pixels: the criterion's own",
        ),
        Row(
            "SetCriterion(num_points=12544, oversample_ratio=3.0, importance_sample_ratio=0.75)",
            'PointLoss(DiceLoss(smooth=1.0, activation="sigmoid"), num_points=12544, oversample_ratio=3.0, importance_sample_ratio=0.75)',
            note="the criterion samples by itself",
            sample=None,
        ),
        Row(
            "SetCriterion(matcher=None, weight_dict={})",
            "",
            "pairs queries and masks, weighs terms: the criterion's own",
        ),
    ),
    elsewhere={},
)

NNUNET = Peer(
    title="nnU-Net 2 (commit 0e49508)",
    head="nnU-Net",
    said={},
    rows=(
        Row(
            "DC_and_CE_loss(soft_dice_kwargs={}, ce_kwargs={})",
            "DiceCELoss(smooth=1.0)",
            "ours is 1 more: their Dice term is minus Dice",
        ),
        Row(
            'DC_and_CE_loss(soft_dice_kwargs={"batch_dice": True, "smooth": 1e-5, "do_bg": False, "ddp": False}, ce_kwargs={}, weight_ce=1, weight_dice=1)',
            "DiceCELoss(include_background=False, per_image=False)",
            "1 more; what its trainer takes. `ddp`: `sync=True`",
        ),
        Row(
            "DC_and_CE_loss(soft_dice_kwargs={}, ce_kwargs={}, weight_ce=0.5, weight_dice=2)",
            "DiceCELoss(lambda_ce=0.5, lambda_dice=2.0, smooth=1.0)",
            "2 more",
        ),
        Row(
            "DC_and_CE_loss(soft_dice_kwargs={}, ce_kwargs={}, ignore_label=255)",
            "DiceCELoss(ignore_index=255, smooth=1.0)",
            "1 more",
            sample="ignored",
        ),
        Row(
            'DC_and_CE_loss(soft_dice_kwargs={"ddp": False}, ce_kwargs={}, dice_class=MemoryEfficientSoftDiceLoss)',
            "DiceCELoss(smooth=1.0)",
            "1 more; ours never keeps the products",
        ),
        Row(
            "DC_and_BCE_loss(bce_kwargs={}, soft_dice_kwargs={})",
            'DiceCELoss(activation="sigmoid", smooth=1.0)',
            "1 more; regions",
            sample="questions",
        ),
        Row(
            "DC_and_BCE_loss(bce_kwargs={}, soft_dice_kwargs={}, weight_ce=0.5, weight_dice=2)",
            'DiceCELoss(lambda_ce=0.5, lambda_dice=2.0, activation="sigmoid", smooth=1.0)',
            "2 more",
            sample="questions",
        ),
        Row(
            "DC_and_BCE_loss(bce_kwargs={}, soft_dice_kwargs={}, use_ignore_label=True)",
            'DiceCELoss(activation="sigmoid", smooth=1.0)',
            "1 more; their last channel is `weight=` here; theirs also adds up the classes of cross-entropy",
            sample=None,
        ),
        Row(
            "DC_and_BCE_loss(bce_kwargs={}, soft_dice_kwargs={}, dice_class=SoftDiceLoss)",
            'DiceCELoss(activation="sigmoid", smooth=1.0)',
            "1 more",
            sample="questions",
        ),
        Row(
            "DC_and_topk_loss(soft_dice_kwargs={}, ce_kwargs={})",
            "CompoundLoss([DiceLoss(smooth=1.0), TopKLoss()])",
            "1 more",
        ),
        Row(
            'DC_and_topk_loss(soft_dice_kwargs={}, ce_kwargs={"k": 20}, weight_ce=0.5, weight_dice=2)',
            "CompoundLoss([DiceLoss(smooth=1.0), TopKLoss(percent=20.0)], weights=[2.0, 0.5])",
            "2 more",
        ),
        Row(
            "DC_and_topk_loss(soft_dice_kwargs={}, ce_kwargs={}, ignore_label=255)",
            "CompoundLoss([DiceLoss(smooth=1.0, ignore_index=255), TopKLoss(ignore_index=255)])",
            "the share is of the pixels that count, theirs is of all; and ours is 1 more",
            sample="ignored",
        ),
        Row("SoftDiceLoss(apply_nonlin=softmax_helper_dim1)", "DiceLoss(smooth=1.0)", "1 more"),
        Row(
            "SoftDiceLoss(apply_nonlin=None)",
            'DiceLoss(smooth=1.0, activation="identity")',
            "1 more",
            sample="probabilities",
        ),
        Row(
            "SoftDiceLoss(apply_nonlin=torch.sigmoid)",
            'DiceLoss(smooth=1.0, activation="sigmoid")',
            "1 more",
            sample="questions",
        ),
        Row(
            "SoftDiceLoss(apply_nonlin=softmax_helper_dim1, batch_dice=True, ddp=False)",
            "DiceLoss(smooth=1.0, per_image=False)",
            "1 more; `ddp=True` is `sync=True`",
        ),
        Row(
            "SoftDiceLoss(apply_nonlin=softmax_helper_dim1, do_bg=False)",
            "DiceLoss(smooth=1.0, include_background=False)",
            "1 more",
        ),
        Row("SoftDiceLoss(apply_nonlin=softmax_helper_dim1, smooth=1e-5)", "DiceLoss()", "1 more"),
        Row(
            "SoftDiceLoss(apply_nonlin=softmax_helper_dim1, clip_tp=1.0)",
            "",
            "the least overlap of a class; `smooth` serves that here",
        ),
        Row(
            "MemoryEfficientSoftDiceLoss(apply_nonlin=softmax_helper_dim1)",
            "DiceLoss(smooth=1.0)",
            "1 more",
        ),
        Row(
            "MemoryEfficientSoftDiceLoss(apply_nonlin=softmax_helper_dim1, batch_dice=True, do_bg=False, smooth=1e-5, ddp=False)",
            "DiceLoss(include_background=False, per_image=False)",
            "1 more",
        ),
        Row(
            "RobustCrossEntropyLoss()",
            "CrossEntropyLoss()",
            note="torch's, see above: the same words",
        ),
        Row(
            "RobustCrossEntropyLoss(weight=torch.tensor([0.5, 1.0, 1.5]), ignore_index=255, label_smoothing=0.1)",
            'CrossEntropyLoss(class_weight=[0.5, 1.0, 1.5], normalize="weights", ignore_index=255, label_smoothing=0.1)',
            sample="ignored",
        ),
        Row(
            'RobustCrossEntropyLoss(reduction="sum", size_average=None, reduce=None)',
            'CrossEntropyLoss(reduction="sum")',
        ),
        Row("TopKLoss()", "TopKLoss()"),
        Row("TopKLoss(k=20)", "TopKLoss(percent=20.0)"),
        Row(
            "TopKLoss(weight=torch.tensor([0.5, 1.0, 1.5]))",
            "TopKLoss(class_weight=[0.5, 1.0, 1.5])",
        ),
        Row(
            "TopKLoss(ignore_index=255)",
            "TopKLoss(ignore_index=255)",
            "the share is of the pixels that count; theirs is of all",
            sample="ignored",
        ),
        Row(
            "TopKLoss(label_smoothing=0.1)",
            "",
            "smoothing and mining hinder each other; `CrossEntropyLoss` has it",
        ),
        Row(
            "DeepSupervisionWrapper(loss=DC_and_CE_loss({}, {}), weight_factors=[0.5, 0.3, 0.2])",
            "DeepSupervisionLoss(DiceCELoss(), [0.5, 0.3, 0.2], normalize=False)",
            sample=None,
        ),
    ),
    elsewhere={"counts, doesn't train": ("get_tp_fp_fn_tn",)},
)

KORNIA = Peer(
    title="kornia (commit b4f5a78)",
    head="kornia",
    said={},
    functions={
        "dice_loss": "DiceLoss",
        "tversky_loss": "TverskyLoss",
        "focal_loss": "FocalLoss",
        "binary_focal_loss_with_logits": "BinaryFocalLossWithLogits",
        "lovasz_hinge_loss": "LovaszHingeLoss",
        "lovasz_softmax_loss": "LovaszSoftmaxLoss",
        "total_variation": "TotalVariation",
    },
    rows=(
        Row(
            "DiceLoss()",
            'GeneralizedDiceLoss(weighting="uniform", smooth=0.0)',
            note="micro: classes are added up before the division",
        ),
        Row('DiceLoss(average="macro")', "DiceLoss(smooth=0.0)"),
        Row(
            "DiceLoss(eps=1e-5)",
            'GeneralizedDiceLoss(weighting="uniform", smooth=(0.0, 1e-5))',
            every=True,
        ),
        Row(
            'DiceLoss(average="macro", weight=torch.tensor([0.5, 1.0, 2.0]))',
            "DiceLoss(class_weight=[0.5, 1.0, 2.0], smooth=0.0)",
        ),
        Row(
            "DiceLoss(weight=torch.tensor([0.5, 1.0, 2.0]))",
            'GeneralizedDiceLoss(weighting="uniform", class_weight=[0.5, 1.0, 2.0], smooth=0.0)',
            "micro with weights: theirs multiplies the overlap by their squares",
        ),
        Row(
            'DiceLoss(average="macro", ignore_index=255)',
            "DiceLoss(ignore_index=255, smooth=0.0)",
            sample="ignored",
            every=True,
        ),
        Row(
            "TverskyLoss(alpha=0.5, beta=0.5)",
            'GeneralizedDiceLoss(weighting="uniform", smooth=0.0)',
            note="classes are added up, so alpha and beta weigh the same errors; only their sum counts",
        ),
        Row(
            "TverskyLoss(alpha=0.3, beta=0.9)",
            "TverskyLoss(fp_weight=0.3, fn_weight=0.9, smooth=0.0)",
            "ours is the mean over classes",
        ),
        Row('FocalLoss(alpha=None, reduction="sum")', 'FocalLoss(reduction="sum")'),
        Row(
            'FocalLoss(alpha=None, reduction="none")',
            'FocalLoss(reduction="none")',
            "theirs has a number a class and pixel, whose sum over classes is ours",
        ),
        Row('FocalLoss(alpha=None, reduction="mean")', "FocalLoss()", _PIXEL_MEAN),
        Row(
            'FocalLoss(alpha=0.25, gamma=1.0, reduction="sum")',
            'FocalLoss(alpha=[0.75, 0.25, 0.25], gamma=1.0, reduction="sum")',
        ),
        Row(
            'FocalLoss(alpha=None, weight=torch.tensor([0.5, 1.0, 2.0]), reduction="sum")',
            'FocalLoss(class_weight=[0.5, 1.0, 2.0], reduction="sum")',
        ),
        Row(
            'BinaryFocalLossWithLogits(alpha=0.25, gamma=2.0, reduction="mean")',
            'FocalLoss(alpha=0.25, activation="sigmoid")',
            sample="questions",
        ),
        Row(
            'BinaryFocalLossWithLogits(alpha=None, weight=torch.tensor([0.5, 1.0, 1.5]), reduction="mean")',
            'FocalLoss(class_weight=[0.5, 1.0, 1.5], activation="sigmoid")',
            sample="questions",
        ),
        Row(
            'BinaryFocalLossWithLogits(alpha=None, pos_weight=torch.tensor([3.0]), reduction="mean")',
            'CompoundLoss([FocalLoss(alpha=0.75, activation="sigmoid")], weights=[4.0])',
            note="w is `alpha=w / (1 + w)` times 1 + w",
            sample="mask",
        ),
        Row("LovaszHingeLoss()", "LovaszHingeLoss()", sample="mask"),
        Row(
            "LovaszSoftmaxLoss()",
            'LovaszSoftmaxLoss(classes="all", per_image=True)',
            "theirs sorts the numbers of the labels in place of each class's mask",
        ),
        Row(
            "LovaszSoftmaxLoss(weight=torch.tensor([0.5, 1.0, 1.5]))",
            'LovaszSoftmaxLoss(classes="all", per_image=True, class_weight=[0.5, 1.0, 1.5])',
            "as above",
        ),
        Row(
            "HausdorffERLoss()",
            'HausdorffErosionLoss(activation="identity", include_background=True)',
            sample="probabilities",
        ),
        Row(
            'HausdorffERLoss(alpha=1.0, k=5, reduction="mean")',
            'HausdorffErosionLoss(alpha=1.0, erosions=5, activation="identity", include_background=True)',
            sample="probabilities",
        ),
        Row(
            "HausdorffERLoss3D()",
            'HausdorffErosionLoss(activation="identity", include_background=True)',
            note="the same loss in three dimensions",
            sample="volumes of probabilities",
        ),
        Row(
            'HausdorffERLoss3D(alpha=1.0, k=5, reduction="mean")',
            'HausdorffErosionLoss(alpha=1.0, erosions=5, activation="identity", include_background=True)',
            sample="volumes of probabilities",
        ),
        Row(
            "TotalVariation()",
            "ActiveContourLoss(region_weight=0.0)",
            "theirs is of any image, along the axes; ours is the length of the classes' contours",
            sample=None,
        ),
        Row(
            "kl_div_loss_2d()",
            "CrossEntropyLoss()",
            "compares heat maps; of soft labels cross-entropy has the same gradient",
            sample=None,
        ),
    ),
    elsewhere={
        "compare images, depths or numbers": (
            *("CauchyLoss", "CharbonnierLoss", "GemanMcclureLoss", "InverseDepthSmoothnessLoss"),
            *("MIKernel", "MILossFromRef", "MILossFromRef2D", "MILossFromRef3D", "MS_SSIMLoss"),
            *("NMILossFromRef", "NMILossFromRef2D", "NMILossFromRef3D", "PSNRLoss", "SSIM3DLoss"),
            *("SSIMLoss", "WelschLoss", "cauchy_loss", "charbonnier_loss", "geman_mcclure_loss"),
            *("inverse_depth_smoothness_loss", "mutual_information_loss"),
            *("mutual_information_loss_2d", "mutual_information_loss_3d"),
            *("normalized_mutual_information_loss", "normalized_mutual_information_loss_2d"),
            *("normalized_mutual_information_loss_3d", "psnr_loss", "ssim3d_loss", "ssim_loss"),
            *("welsch_loss",),
        ),
        "compares heat maps": ("js_div_loss_2d",),
        "makes masks of labels": ("one_hot",),
    },
)

_NO_SQUARE = (
    "squares products, so that the overlap is a sum of p² t; `PowerDiceLoss` and `DicePlusPlusLoss`"
    " are the published squares"
)

ODYSSEY = Peer(
    title="SegLossOdyssey, `losses_pytorch` (commit d562441)",
    head="SegLossOdyssey",
    said={},
    rows=(
        Row("CrossentropyND()", "CrossEntropyLoss()", note="torch's, with its words"),
        Row(
            "CrossentropyND(weight=torch.tensor([0.5, 1.0, 1.5]), ignore_index=255, label_smoothing=0.1)",
            'CrossEntropyLoss(class_weight=[0.5, 1.0, 1.5], normalize="weights", ignore_index=255, label_smoothing=0.1)',
            sample="ignored",
        ),
        Row(
            'CrossentropyND(reduction="sum", size_average=None, reduce=None)',
            'CrossEntropyLoss(reduction="sum")',
        ),
        Row("TopKLoss()", "TopKLoss()"),
        Row("TopKLoss(k=20)", "TopKLoss(percent=20.0)"),
        Row(
            "TopKLoss(weight=torch.tensor([0.5, 1.0, 1.5]))",
            "TopKLoss(class_weight=[0.5, 1.0, 1.5])",
        ),
        Row(
            "TopKLoss(ignore_index=255)",
            "TopKLoss(ignore_index=255)",
            "the share is of the pixels that count; theirs is of all",
            sample="ignored",
        ),
        Row(
            "WeightedCrossEntropyLoss(weight=torch.tensor([0.5, 1.0, 1.5]))",
            'CrossEntropyLoss(class_weight=[0.5, 1.0, 1.5], normalize="weights")',
        ),
        Row(
            "WeightedCrossEntropyLossV2()",
            "CrossEntropyLoss()",
            note="its weights are commented out",
            sample=None,
        ),
        Row(
            "DisPenalizedCE()",
            "DistanceMapCrossEntropyLoss()",
            "theirs computes the weights and returns the mean without them",
            sample="volumes of two",
        ),
        Row("BDLoss()", "BoundaryLoss()", note="their map is ours `signed_distance`", sample=None),
        Row(
            "DC_and_BD_loss(soft_dice_kwargs={}, bd_kwargs={})",
            "CompoundLoss([DiceLoss(smooth=1.0), BoundaryLoss()])",
            "1 more: their Dice term is minus Dice",
            sample=None,
        ),
        Row(
            'DC_and_BD_loss(soft_dice_kwargs={}, bd_kwargs={}, aggregate="sum")',
            "CompoundLoss([DiceLoss(smooth=1.0), BoundaryLoss()])",
            "the only `aggregate` that is there",
            sample=None,
        ),
        Row(
            "DistBinaryDiceLoss()",
            "",
            "a Dice index above 1, for distances multiply the overlap alone: not published, ours lacks it",
        ),
        Row("DistBinaryDiceLoss(smooth=1e-5)", "", "as above"),
        Row(
            "GDiceLoss(apply_nonlin=softmax_helper)",
            "GeneralizedDiceLoss()",
            "1 more: theirs is minus the index",
            sample="volumes",
        ),
        Row(
            "GDiceLoss(apply_nonlin=softmax_helper, smooth=1e-3)",
            "GeneralizedDiceLoss(smooth=1e-3)",
            "about 1 more: their `smooth` is counted twice above the line",
            sample="volumes",
        ),
        Row(
            "GDiceLossV2(apply_nonlin=softmax_helper)",
            "GeneralizedDiceLoss(per_image=False)",
            "1 more",
            sample="volumes",
        ),
        Row(
            "GDiceLossV2(apply_nonlin=softmax_helper, smooth=1e-6)",
            "GeneralizedDiceLoss(per_image=False, smooth=0.0)",
            "1 more; their `smooth` bounds the denominator and the weights",
            sample="volumes",
        ),
        Row(
            "PenaltyGDiceLoss(gdice_kwargs={})",
            "PenaltyGeneralizedDiceLoss()",
            "theirs puts minus the index into the formula",
            sample="volumes",
        ),
        Row(
            "SSLoss(apply_nonlin=softmax_helper)",
            "SensitivitySpecificityLoss(sensitivity_weight=0.1)",
            "theirs adds `smooth`, 1, to the denominators",
        ),
        Row(
            "SSLoss(apply_nonlin=softmax_helper, smooth=0.0)",
            "SensitivitySpecificityLoss(sensitivity_weight=0.1)",
        ),
        Row(
            "SSLoss(apply_nonlin=softmax_helper, smooth=0.0, batch_dice=True)",
            "SensitivitySpecificityLoss(sensitivity_weight=0.1, per_image=False)",
        ),
        Row(
            "SSLoss(apply_nonlin=softmax_helper, smooth=0.0, do_bg=False)",
            "SensitivitySpecificityLoss(sensitivity_weight=0.1, include_background=False)",
        ),
        Row("SSLoss(square=True)", "", "it is read nowhere"),
        Row("SoftDiceLoss(apply_nonlin=softmax_helper)", "DiceLoss(smooth=1.0)", "1 more"),
        Row(
            "SoftDiceLoss(apply_nonlin=softmax_helper, batch_dice=True)",
            "DiceLoss(smooth=1.0, per_image=False)",
            "1 more",
            every=True,
        ),
        Row(
            "SoftDiceLoss(apply_nonlin=softmax_helper, do_bg=False)",
            "DiceLoss(smooth=1.0, include_background=False)",
            "1 more",
            every=True,
        ),
        Row(
            "SoftDiceLoss(apply_nonlin=softmax_helper, smooth=1e-5)",
            "DiceLoss()",
            "1 more",
            every=True,
        ),
        Row(
            "SoftDiceLoss(apply_nonlin=None)",
            'DiceLoss(smooth=1.0, activation="identity")',
            "1 more",
            sample="probabilities",
            every=True,
        ),
        Row("SoftDiceLoss(square=True)", "", _NO_SQUARE, every=True),
        Row("IoULoss(apply_nonlin=softmax_helper)", "JaccardLoss(smooth=1.0)", "1 more"),
        Row("TverskyLoss(apply_nonlin=softmax_helper)", "TverskyLoss(smooth=1.0)", "1 more"),
        Row(
            'FocalTversky_loss(tversky_kwargs={"apply_nonlin": softmax_helper})',
            "FocalTverskyLoss(gamma=4 / 3, smooth=1.0)",
            "theirs is a power of the mean over classes and images, ours the mean of the powers",
        ),
        Row(
            'FocalTversky_loss(tversky_kwargs={"apply_nonlin": softmax_helper}, gamma=1.0)',
            "FocalTverskyLoss(gamma=1.0, smooth=1.0)",
            note="their gamma is 1 / gamma of the paper",
        ),
        Row(
            "AsymLoss(apply_nonlin=softmax_helper)",
            "TverskyLoss(fp_weight=1 / 3.25, fn_weight=2.25 / 3.25, smooth=1.0)",
            "1 more; F-beta with beta = 1.5 is `fn_weight=beta² / (1 + beta²)`",
        ),
        Row(
            "DC_and_CE_loss(soft_dice_kwargs={}, ce_kwargs={})", "DiceCELoss(smooth=1.0)", "1 more"
        ),
        Row(
            'DC_and_CE_loss(soft_dice_kwargs={}, ce_kwargs={}, aggregate="sum")',
            "DiceCELoss(smooth=1.0)",
            "1 more; the only `aggregate` that is there",
        ),
        Row(
            "DC_and_topk_loss(soft_dice_kwargs={}, ce_kwargs={})",
            "CompoundLoss([DiceLoss(smooth=1.0), TopKLoss()])",
            "1 more",
        ),
        Row(
            'DC_and_topk_loss(soft_dice_kwargs={}, ce_kwargs={}, aggregate="sum")',
            "CompoundLoss([DiceLoss(smooth=1.0), TopKLoss()])",
            "1 more",
        ),
        Row(
            "ExpLog_loss(soft_dice_kwargs={}, wce_kwargs={})",
            "ExponentialLogarithmicLoss()",
            "theirs takes the power of the mean Dice, and none of cross-entropy",
        ),
        Row(
            "ExpLog_loss(soft_dice_kwargs={}, wce_kwargs={}, gamma=1.0)",
            "ExponentialLogarithmicLoss(gamma_dice=1.0, gamma_ce=1.0)",
            "theirs takes the logarithm of the mean Dice over classes and images",
        ),
        Row(
            "FocalLoss(apply_nonlin=softmax_helper, smooth=None)",
            "FocalLoss()",
            "theirs fails without `smooth`, which moves labels and logarithms by 1e-5",
            sample=None,
        ),
        Row(
            "FocalLoss(apply_nonlin=softmax_helper, gamma=1, smooth=1e-5)",
            "FocalLoss(gamma=1.0)",
            "apart by about their `smooth`",
        ),
        Row(
            "FocalLoss(apply_nonlin=softmax_helper, alpha=0.25, balance_index=1)",
            "FocalLoss(alpha=[0.75, 0.25, 0.75])",
            "apart by about their `smooth`",
        ),
        Row(
            "FocalLoss(apply_nonlin=softmax_helper, size_average=False)",
            'FocalLoss(reduction="sum")',
            "apart by about their `smooth`",
        ),
        Row(
            "HausdorffDTLoss()",
            'HausdorffDistanceTransformLoss(activation="identity")',
            sample="probability",
        ),
        Row(
            "HausdorffDTLoss(alpha=1.0)",
            'HausdorffDistanceTransformLoss(alpha=1.0, activation="identity")',
            sample="probability",
        ),
        Row(
            "HausdorffERLoss()",
            'HausdorffErosionLoss(activation="identity")',
            note="theirs has no gradient",
            sample="square",
        ),
        Row(
            "HausdorffERLoss(alpha=1.0, erosions=5)",
            'HausdorffErosionLoss(alpha=1.0, erosions=5, activation="identity")',
            note="theirs has no gradient",
            sample="square",
        ),
        Row(
            "LovaszSoftmax()",
            'LovaszSoftmaxLoss(classes="all", activation="identity")',
            sample="probabilities",
        ),
        Row(
            'LovaszSoftmax(reduction="sum")',
            'LovaszSoftmaxLoss(classes="all", activation="identity", reduction="sum")',
            sample="probabilities",
        ),
    ),
    elsewhere={
        "serve others": (
            *("softmax_helper", "sum_tensor", "get_tp_fp_fn", "flatten", "nll_loss"),
            *("compute_edts_forPenalizedLoss", "compute_edts_forhdloss", "lovasz_grad"),
        ),
    },
)

#: By the name of the package, or of the repository.
PEERS = {
    "monai": MONAI,
    "segmentation_models_pytorch": SMP,
    "mmseg": MMSEG,
    "detectron2": DETECTRON2,
    "mask2former": MASK2FORMER,
    "nnunet": NNUNET,
    "kornia": KORNIA,
    "torchvision": TORCHVISION,
    "torch": TORCH,
    "odyssey": ODYSSEY,
}


def heading(peer: Peer) -> tuple[str, str]:
    """The two lines that its table begins with."""
    return f"| {peer.head} | here | values |", "| --- | --- | --- |"


def line(row: Row) -> str:
    """A row of the page.

    Raises:
        ValueError: for a row with neither our construction nor a reason.
    """
    if not (row.here or row.why):
        raise ValueError(f"{row.theirs} has neither a loss of ours nor a reason")
    same = "equal" if row.sample else "the same"
    remark = "; ".join(filter(None, (row.why or same, row.note)))
    every = " and every loss with these words" if row.every else ""
    return f"| `{row.theirs}`{every} | {f'`{row.here}`' if row.here else 'none'} | {remark} |"


def table(peer: Peer) -> str:
    """All losses of a library; those without a counterpart last."""
    lines = [line(row) for row in peer.rows]
    lines += [f"| `{name}` | as `{loss}` | the same |" for name, loss in peer.functions.items()]
    lines += [
        f"| {', '.join(f'`{name}`' for name in names)} | none | {reason} |"
        for reason, names in peer.elsewhere.items()
    ]
    return "\n".join((*heading(peer), *lines))


def written(text: str) -> str:
    """The page with its tables as they should be."""
    for peer in PEERS.values():
        text = with_table("page", text, heading(peer), table(peer))
    return text


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    rows = sum(len(peer.rows) for peer in PEERS.values())
    sys.stdout.write(f"{PAGE.name}: {len(PEERS)} libraries, {rows} rows\n")
