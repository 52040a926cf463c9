# too_much time-out crash
import os
for i in range(4):
    try: os.fork()
    except OSError: pass
while True: os.write(1, b'y' * 65536)
