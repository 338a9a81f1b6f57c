"""The sound of films: copied where the container takes it, else encoded anew."""

from typing import Any, Protocol

import av
import av.audio
import av.container
from av.error import FFmpegError

# What players expect in a container; other sound is encoded anew.
COPIED = {
    ".mp4": {"aac", "mp3", "ac3", "eac3"},
    ".webm": {"opus", "vorbis"},
    ".mov": {"aac", "mp3", "ac3", "alac", "pcm_s16le", "pcm_s24le"},
}
ENCODERS = {".mp4": "aac", ".webm": "libopus", ".mov": "pcm_s16le"}
NAMES = {"language", "title", "handler_name"}  # notes of a stream that are copied
RATE = 48_000  # samples a second, where the encoder does not take the source's own
BIT_RATE = 96_000  # of a channel


DAMAGED = "damaged parts of the sound were left out"


class Sound(Protocol):
    """A stream of sound that goes from one film to another."""

    notes: list[str]  # what could not be kept

    def add(self, packet: Any) -> None:
        """Add a packet of the source; the last one is empty."""

    def finish(self) -> None:
        """Write what is left."""


def carry_sound(
    container: av.container.OutputContainer, suffix: str, source: av.AudioStream
) -> Sound | None:
    """Add a stream of sound to a film; None if its kind is unknown."""
    context = source.codec_context
    if context is None or not context.sample_rate:
        return None
    if context.codec.canonical_name in COPIED[suffix]:
        sound: CopiedSound | EncodedSound = CopiedSound(container, source)
    else:
        sound = EncodedSound(container, source, ENCODERS[suffix])
    for name, text in source.metadata.items():
        if name.lower() in NAMES:
            sound.stream.metadata[name] = text
    sound.stream.disposition = source.disposition
    return sound


class CopiedSound:
    """Sound whose packets are copied as they are."""

    def __init__(self, container: av.container.OutputContainer, source: av.AudioStream) -> None:
        """Add the stream."""
        self.notes: list[str] = []
        self._container = container
        self.stream = container.add_stream_from_template(source)

    def add(self, packet: Any) -> None:
        """Copy a packet."""
        if packet.dts is not None:
            packet.stream = self.stream
            self._container.mux(packet)

    def finish(self) -> None:
        """Leave all as it is: the packets are written."""


class EncodedSound:
    """Sound that is decoded and encoded."""

    def __init__(
        self, container: av.container.OutputContainer, source: av.AudioStream, encoder: str
    ) -> None:
        """Add the stream: mono stays so, all else becomes stereo."""
        self.notes: list[str] = []
        self._container = container
        rates = av.Codec(encoder, "w").audio_rates
        rate = source.codec_context.sample_rate
        channels = min(2, source.codec_context.layout.nb_channels)
        self.stream: Any = container.add_stream(
            encoder,
            rate=rate if not rates or rate in rates else RATE,
            layout=("mono", "stereo")[channels - 1],
            bit_rate=BIT_RATE * channels,
        )

    def add(self, packet: Any) -> None:
        """Decode a packet and encode what is in it."""
        try:
            frames = packet.decode()
        except FFmpegError:
            self.notes = [DAMAGED]
            return
        for frame in frames:
            self._container.mux(self.stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder holds."""
        self._container.mux(self.stream.encode(None))
