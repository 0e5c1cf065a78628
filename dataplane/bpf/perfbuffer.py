"""What programs write into a perf event array, such as packets that user space has to handle."""

from __future__ import annotations

import ctypes
from ctypes import c_int, c_uint32, c_uint64, c_void_p

from dataplane.bpf.libbpf import call, check, failed, loaded
from dataplane.bpf.maps import Map

_SAMPLE = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_void_p, c_uint32)
_LOST = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_uint64)


class Samples:
    """What programs write into a BPF_MAP_TYPE_PERF_EVENT_ARRAY. They can write only as long as this is open: the kernel
    takes it away with the last descriptor of the map that it was opened with. Raises DriverError."""

    def __init__(self, array: Map, pages: int = 64) -> None:
        self._taken: list[bytes] = []
        self._array = array
        self._callbacks = _SAMPLE(self._sample), _LOST(lambda context, cpu, number: None)
        library = loaded()[0]
        ctypes.set_errno(0)
        callbacks = [ctypes.cast(callback, c_void_p) for callback in self._callbacks]
        self._buffer = library.perf_buffer__new(array.fd, pages, *callbacks, None, None)
        if not self._buffer:
            raise failed(f"listen to {array.name}", -ctypes.get_errno())
        self.fd = call("perf_buffer__epoll_fd", self._buffer)
        """It can be read when there is something to take."""

    def _sample(self, context: int, cpu: int, data: int, size: int) -> None:
        self._taken.append(ctypes.string_at(data, size))

    def take(self) -> list[bytes]:
        """What came since the last call; at its end may be up to seven bytes more than the program wrote."""
        # Not perf_buffer__poll: whoever waited for `fd` has used up the wake-up that it would look for.
        check(f"listen to {self._array.name}", call("perf_buffer__consume", self._buffer))
        taken, self._taken = self._taken, []
        return taken

    def close(self) -> None:
        """Listen no more."""
        if self._buffer:
            loaded()[0].perf_buffer__free(self._buffer)
            self._buffer = None
            self._array.close()
