"""Serves a model folder through AWS's own inference toolkit, as TorchServe does in the container.

Like TorchServe it keeps one context for the life of the process: the toolkit hands transform_fn the context
it was initialised with, not that of the request.
"""

import sys
from types import SimpleNamespace

model_dir = sys.argv[1]
sys.path.insert(0, f"{model_dir}/code")

from sagemaker_pytorch_serving_container.handler_service import HandlerService  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402
from werkzeug.wrappers import Request, Response  # noqa: E402


class Context:
    model_name = "model"

    def __init__(self) -> None:
        self.system_properties = {"model_dir": model_dir}
        self.start_request({})

    def start_request(self, headers: dict[str, str]) -> None:
        self.status, self.content_type = 200, ""
        self.request_processor = [SimpleNamespace(get_request_properties=lambda: headers)]

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        self.status = code

    def set_response_content_type(self, idx: int, value: str) -> None:
        self.content_type = value


context = Context()
service = HandlerService()
service.initialize(context)


@Request.application
def application(request: Request) -> Response:
    context.start_request(dict(request.headers))
    body = service.handle([{"body": request.get_data()}], context)[0]
    return Response(body, status=context.status, content_type=context.content_type)


server = make_server("127.0.0.1", 0, application)
print(f"http://127.0.0.1:{server.port}", flush=True)
server.serve_forever()
