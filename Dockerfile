# The page and the HTTP API of `class-jax serve`, on a CPU; docs/releasing.md has the commands.
#   docker build -t class-jax .
#   docker run --rm -p 127.0.0.1:7860:7860 class-jax
FROM python:3.12-slim

COPY . /src
RUN pip install --no-cache-dir "/src[onnx]" && rm -r /src \
    && useradd --create-home class_jax

USER class_jax
WORKDIR /data
EXPOSE 7860
ENTRYPOINT ["class-jax"]
CMD ["serve", "--host", "0.0.0.0"]
