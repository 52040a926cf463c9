# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import os
attempt('mem', lambda: os.open('/proc/self/mem', os.O_RDWR))
attempt('fd', lambda: os.listdir('/proc/self/fd'))
attempt('dev fd', lambda: os.listdir('/dev/fd'))
attempt('stdin of another', lambda: os.open('/proc/1/fd/0', os.O_RDONLY))
print("escaped", seen) if seen else print("contained")
