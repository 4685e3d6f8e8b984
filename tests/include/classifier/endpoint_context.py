"""The model server's context, as TorchServe gives it to AWS's inference toolkit."""

from types import SimpleNamespace


class Context:
    model_name = "model"

    def __init__(self, model_dir: str) -> None:
        self.system_properties = {"model_dir": model_dir}
        self.start_request({})

    def start_request(self, headers: dict[str, str]) -> None:
        self.status, self.content_type = 200, ""
        self.request_processor = [SimpleNamespace(get_request_properties=lambda: headers)]

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        self.status = code

    def set_response_content_type(self, idx: int, value: str) -> None:
        self.content_type = value
