# input wrong
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            try: os.write(1, b'3\n')
            except OSError: pass
            time.sleep(0.01)
    os._exit(0)
