"""The audio of videos: copied where the container takes it, else encoded anew."""

from typing import Any

import av
import av.audio
import av.container
from av.error import FFmpegError

# What players expect in a container; other audio is encoded anew.
COPIED = {
    ".mp4": {"aac", "mp3", "ac3", "eac3"},
    ".webm": {"opus", "vorbis"},
    ".mov": {"aac", "mp3", "ac3", "alac", "pcm_s16le", "pcm_s24le"},
}
ENCODERS = {".mp4": "aac", ".webm": "libopus", ".mov": "pcm_s16le"}
NAMES = {"language", "title", "handler_name"}  # metadata of a stream that is copied
RATE = 48_000  # samples a second, where the encoder does not take the source's own
BIT_RATE = 96_000  # of a channel

DAMAGED = "damaged parts of the audio were left out"


class Sound:
    """An audio stream that goes from one video to another, copied or encoded anew."""

    def __init__(
        self, container: av.container.OutputContainer, suffix: str, source: av.AudioStream
    ) -> None:
        """Add the stream; encoded anew, mono stays mono and all else becomes stereo."""
        self.notes: list[str] = []  # what could not be kept
        self._container = container
        context = source.codec_context
        self._is_copied = context.codec.canonical_name in COPIED[suffix]
        self._stream: Any = (
            container.add_stream_from_template(source)
            if self._is_copied
            else _add_encoder(container, ENCODERS[suffix], context)
        )
        for name, text in source.metadata.items():
            if name.lower() in NAMES:
                self._stream.metadata[name] = text
        self._stream.disposition = source.disposition

    def add(self, packet: Any) -> None:
        """Add a packet of the source; the last one is empty."""
        if self._is_copied:
            if packet.dts is not None:
                packet.stream = self._stream
                self._container.mux(packet)
            return
        try:
            frames = packet.decode()
        except FFmpegError:
            self.notes = [DAMAGED]
            return
        for frame in frames:
            self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder holds."""
        if not self._is_copied:
            self._container.mux(self._stream.encode(None))


def is_known(source: av.AudioStream) -> bool:
    """Return whether the codec of an audio stream is known."""
    return source.codec_context is not None and bool(source.codec_context.sample_rate)


def _add_encoder(container: av.container.OutputContainer, encoder: str, source: Any) -> Any:
    rates = av.Codec(encoder, "w").audio_rates
    channels = min(2, source.layout.nb_channels)
    return container.add_stream(
        encoder,
        rate=source.sample_rate if not rates or source.sample_rate in rates else RATE,
        layout=("mono", "stereo")[channels - 1],
        bit_rate=BIT_RATE * channels,
    )
