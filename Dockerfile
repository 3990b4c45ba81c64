# One image for web, worker, scheduler and migrations; compose.yaml says which command is which.
FROM python:3.12-slim

WORKDIR /app
COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY . .
RUN useradd --system --uid 10001 trialsite && install -d -m 700 -o trialsite /var/lib/trialsite
USER trialsite

ENV PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=trialsite.settings \
    TRIALSITE_PROFILE=production \
    TRIALSITE_VAR=/var/lib/trialsite \
    TRIALSITE_HOST=0.0.0.0
VOLUME /var/lib/trialsite
EXPOSE 8000
CMD ["sh", "-c", "python manage.py collectstatic --noinput -v 0 && exec python -m gunicorn -c python:trialsite.gunicorn_conf trialsite.wsgi"]
