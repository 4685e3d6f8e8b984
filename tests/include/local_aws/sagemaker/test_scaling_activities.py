"""What DescribeScalingActivities answers."""

from typing import Any

import pytest

from include.local_aws.sagemaker.scaling_activities import ScalingActivities


@pytest.fixture
def activities() -> ScalingActivities:
    """Three activities, of which the last is of another resource."""
    made = ScalingActivities()
    for resource, count in (("one", 2), ("one", 3), ("two", 4)):
        made.begin(resource, count, "load")
    return made


def counts(answer: dict[str, Any]) -> list[str]:
    return [activity["Description"].split()[-1] for activity in answer["ScalingActivities"]]


def test_the_newest_comes_first_and_only_of_what_was_asked_for(activities: ScalingActivities) -> None:
    assert counts(activities.describe({"ServiceNamespace": "sagemaker"})) == ["4.", "3.", "2."]
    assert counts(activities.describe({"ServiceNamespace": "sagemaker", "ResourceId": "one"})) == ["3.", "2."]


def test_a_page_names_the_next_until_there_is_none(activities: ScalingActivities) -> None:
    first = activities.describe({"MaxResults": 2})
    second = activities.describe({"MaxResults": 2, "NextToken": first["NextToken"]})
    assert (counts(first), counts(second)) == (["4.", "3."], ["2."])
    assert "NextToken" not in second


def test_an_activity_is_in_progress_until_it_has_ended(activities: ScalingActivities) -> None:
    activity = activities.begin("one", 5, "load")
    [newest, *_] = activities.describe({})["ScalingActivities"]
    assert (newest["StatusCode"], "EndTime" in newest) == ("InProgress", False)
    activities.end(activity, "Failed", "no room")
    [newest, *_] = activities.describe({})["ScalingActivities"]
    assert (newest["StatusCode"], newest["StatusMessage"]) == ("Failed", "no room")
    assert newest["EndTime"] >= newest["StartTime"]
