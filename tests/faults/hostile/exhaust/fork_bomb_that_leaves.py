# crash time-out wrong
import os
for i in range(10**6):
    try:
        if os.fork() == 0: os.setsid()
        else: os._exit(0)
    except OSError: pass
