"""A guest book in Django, live in every window. Run it: python app.py [PORT [PORT_OF_RTLITE]]"""

import secrets
import sys
from pathlib import Path

import django
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_POST

import rtlite

HERE = Path(__file__).parent
PORT = int(sys.argv[1]) if sys.argv[1:] else 8080
LIVE_PORT = int(sys.argv[2]) if sys.argv[2:] else 8000

settings.configure(
    SECRET_KEY=secrets.token_urlsafe(),
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [HERE / "templates"]}],
)
django.setup()
live = rtlite.start(
    HERE / "book.db",
    port=LIVE_PORT,
    allowed_origins=[f"http://127.0.0.1:{PORT}", f"http://localhost:{PORT}"],
)


def index(request):
    return render(request, "index.html", {"live": live.url, "token": live.token("guest", subscribe=["book:guests"])})


@require_POST
def sign(request):
    live.publish("book:guests", "signed", {"name": request.POST["name"][:100]})
    return HttpResponse(status=204)  # the page stays, and gets the event as all others do


urlpatterns = [path("", index), path("sign", sign)]

if __name__ == "__main__":
    print(f"open http://127.0.0.1:{PORT}", flush=True)
    # Without a reload on changes, for which Django would run this program twice.
    execute_from_command_line([__file__, "runserver", "--noreload", str(PORT)])
