# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import subprocess
def out(command): return subprocess.run(command, shell=True, capture_output=True, text=True, timeout=5).stdout
attempt('mounts', lambda: 'root' in out('id') )
attempt('etc', lambda: out('cat /etc/passwd') != '')
attempt('ps', lambda: out('ls /proc') != '')
attempt('net', lambda: out('ls /sys/class/net') != '')
print("escaped", seen) if seen else print("contained")
