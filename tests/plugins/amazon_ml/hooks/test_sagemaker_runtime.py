"""The hook for what endpoints answer."""

from __future__ import annotations

from typing import Any

from amazon_ml.hooks.sagemaker_runtime import SageMakerRuntimeHook


class TestSageMakerRuntimeHook:
    def test_it_talks_to_the_runtime(self, aws: Any) -> None:
        assert SageMakerRuntimeHook().conn.meta.service_model.service_name == "sagemaker-runtime"
