"""Serves a model folder through AWS's own inference toolkit, as TorchServe does in the container.

Like TorchServe it keeps one context for the life of the process: the toolkit hands transform_fn the context
it was initialised with, not that of the request.
"""

import sys

model_dir = sys.argv[1]
sys.path.insert(0, f"{model_dir}/code")

from endpoint_context import Context  # noqa: E402
from sagemaker_pytorch_serving_container.handler_service import HandlerService  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402
from werkzeug.wrappers import Request, Response  # noqa: E402

context = Context(model_dir)
service = HandlerService()
service.initialize(context)


@Request.application
def application(request: Request) -> Response:
    context.start_request(dict(request.headers))
    # It splits forms into their fields, of which the toolkit knows the one named "body".
    fields = {**request.form, **{name: file.read() for name, file in request.files.items()}}
    body = service.handle([fields or {"body": request.get_data()}], context)[0]
    return Response(body, status=context.status, content_type=context.content_type)


server = make_server("127.0.0.1", 0, application)
print(f"http://127.0.0.1:{server.port}", flush=True)
server.serve_forever()
