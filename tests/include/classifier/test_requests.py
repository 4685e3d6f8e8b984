"""What the pipeline's requests ask of the training script, the script understands."""

import json

import pytest
from image_classifier.train import parse_hyperparameters
from sagemaker_training import mapping

from include.pipeline import job_requests
from include.pipeline.images import Images
from include.pipeline.settings import Classifier, FineTuning, Project, Training


@pytest.mark.parametrize(
    "classifier",
    [
        Classifier(),
        Classifier(train_layers="all"),
        Classifier(train_layers="last_2", fine_tuning=FineTuning(warmup_epochs=0.5, cutmix=1, amp=False)),
        Classifier(int8_max_accuracy_drop=0.01),
    ],
    ids=["head", "all layers", "last blocks", "8-bit integers"],
)
def test_the_hyperparameters_arrive_as_the_project_file_has_them(classifier: Classifier) -> None:
    images = Images(tuning="i", training="i", processing="i", inference="i")
    environment = job_requests.Environment(
        bucket="bucket", sagemaker_role="r", function_role="r", region="us-east-1", account="1", images=images
    )
    training = Training(checkpoint_minutes=2.5)
    project = Project(
        name="birds", description="Tells birds apart.", classifier=classifier, training=training
    )
    best = {"learning_rate": "0.012", "batch_size": "64"}  # bare, as SageMaker gives what it has tuned

    request = job_requests.training_job(
        project, environment, {}, "s3://b/c/sourcedir.tar.gz", best, instance_count=1, rerun_token=""
    )
    # As SageMaker's toolkit does it, which keeps those of its own to itself.
    sent = {name: json.loads(value) for name, value in request["HyperParameters"].items()}
    own = {name: value for name, value in sent.items() if not name.startswith("sagemaker_")}
    understood = vars(parse_hyperparameters(mapping.to_cmd_args(own)))

    asked = classifier.model_dump(
        include={"architecture", "image_size", "train_layers", "epochs", "patience"}
    )
    asked |= {"seed": 0, "learning_rate": 0.012, "batch_size": 64}
    asked |= {"checkpoint_minutes": project.training.checkpoint_minutes}
    asked |= {"int8_max_accuracy_drop": classifier.int8_max_accuracy_drop}
    asked |= {} if classifier.frozen else classifier.fine_tuning.model_dump()
    assert {name: understood[name] for name in asked} == asked
