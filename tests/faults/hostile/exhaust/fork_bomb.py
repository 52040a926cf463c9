# crash time-out wrong
import os
while True:
    try: os.fork()
    except OSError: pass
