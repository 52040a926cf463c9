# time-out
import os
for i in range(3):
    if os.fork() == 0:
        while True: pass
os.wait()
