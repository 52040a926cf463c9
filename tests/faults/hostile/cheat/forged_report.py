# call wrong crash
import struct, posix
for fd in range(1, 64):
    try: posix.write(fd, struct.pack('<IiqQQ', 0, 0, 0, 2, 2) * 4)
    except OSError: pass
def add(a, b): return 0
