"""The audio of videos: copied where the container takes it, else encoded anew."""

from typing import Any

import av
from av.container import OutputContainer
from av.error import FFmpegError

from class_jax.jobs.video.frames import Video

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
NO_CODEC = "audio of an unknown codec was left out"
DAMAGED = "damaged parts of the audio were left out"


class Audio:
    """The audio streams of a video on their way into another one, copied or encoded anew."""

    def __init__(self, container: OutputContainer, suffix: str, video: Video) -> None:
        """Add the streams; encoded anew, mono stays mono and all else becomes stereo."""
        self._container, self._video = container, video
        self._copies: dict[int, Any] = {}  # by the index of the source
        self._encoders: dict[int, Any] = {}
        for source in video.audio:
            context = source.codec_context
            if context is None or not context.sample_rate:
                video.notes.add(NO_CODEC)
                continue
            if context.codec.canonical_name in COPIED[suffix]:
                stream = self._copies[source.index] = container.add_stream_from_template(source)
            else:
                stream = _add_encoder(container, ENCODERS[suffix], context)
                self._encoders[source.index] = stream
            stream.metadata.update(
                {name: text for name, text in source.metadata.items() if name.lower() in NAMES}
            )
            stream.disposition = source.disposition

    def write(self) -> None:
        """Write the audio that was read so far."""
        while self._video.packets:
            packet = self._video.packets.popleft()
            index = packet.stream.index
            if index in self._copies and packet.dts is not None:  # the last packet is empty
                packet.stream = self._copies[index]
                self._container.mux(packet)
            elif index in self._encoders:
                try:
                    frames = packet.decode()
                except FFmpegError:
                    self._video.notes.add(DAMAGED)
                    continue
                for frame in frames:
                    self._container.mux(self._encoders[index].encode(frame))

    def finish(self) -> None:
        """Write what the encoders hold."""
        self.write()
        for stream in self._encoders.values():
            self._container.mux(stream.encode(None))


def _add_encoder(container: OutputContainer, encoder: str, source: Any) -> Any:
    rates = av.Codec(encoder, "w").audio_rates
    channels = min(2, source.layout.nb_channels)
    return container.add_stream(
        encoder,
        rate=source.sample_rate if not rates or source.sample_rate in rates else RATE,
        layout=("mono", "stereo")[channels - 1],
        bit_rate=BIT_RATE * channels,
    )
