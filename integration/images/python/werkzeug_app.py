from werkzeug.serving import run_simple

from app import wsgi

run_simple("0.0.0.0", 8005, wsgi)
