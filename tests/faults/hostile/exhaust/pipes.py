# crash time-out
import os
x = []
while True:
    r, w = os.pipe()
    os.set_blocking(w, False)
    os.write(w, b'x' * (1 << 20))
    x.append((r, w))
