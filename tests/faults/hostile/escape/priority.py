# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import os
attempt('nice', lambda: os.nice(-5))
attempt('realtime', lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))
attempt('affinity', lambda: os.sched_setaffinity(0, range(64)))
print("escaped", seen) if seen else print("contained")
