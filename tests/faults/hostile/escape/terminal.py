# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import fcntl, os, termios
for fd in (0, 1, 2):
    attempt('tiocsti %d' % fd, lambda: fcntl.ioctl(fd, termios.TIOCSTI, b'x'))
    attempt('tty %d' % fd, lambda: os.isatty(fd))
print("escaped", seen) if seen else print("contained")
