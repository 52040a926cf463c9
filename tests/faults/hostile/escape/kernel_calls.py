# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import ctypes, os
if os.uname().machine != 'x86_64': ctypes = None
c = ctypes.CDLL(None, use_errno=True)
names = {'unshare': 272, 'setns': 308, 'mount': 165, 'umount2': 166, 'pivot_root': 155, 'ptrace': 101, 'keyctl': 250,
         'add_key': 248, 'request_key': 249, 'bpf': 321, 'perf_event_open': 298, 'userfaultfd': 323, 'io_uring_setup': 425,
         'memfd_create': 319, 'memfd_secret': 447, 'shmget': 29, 'msgget': 68, 'semget': 64, 'mq_open': 240, 'init_module': 175,
         'finit_module': 313, 'kexec_load': 246, 'reboot': 169, 'swapon': 167, 'sethostname': 170, 'setdomainname': 171,
         'iopl': 172, 'ioperm': 173, 'open_by_handle_at': 304, 'name_to_handle_at': 303, 'process_vm_readv': 310,
         'process_vm_writev': 311, 'fanotify_init': 300, 'inotify_init': 253, 'personality': 135, 'acct': 163, 'quotactl': 179,
         'syslog': 103, 'clock_settime': 227, 'settimeofday': 164, 'adjtimex': 159, 'mknod': 133, 'lookup_dcookie': 212,
         'move_mount': 429, 'fsopen': 430, 'open_tree': 428, 'mount_setattr': 442, 'landlock_create_ruleset': 444,
         'pidfd_open': 434, 'pidfd_getfd': 438, 'seccomp': 317, 'modify_ldt': 154, 'vmsplice': 278, 'tee': 276, 'splice': 275}
for name, number in names.items():
    attempt(name, lambda: c.syscall(number, 0, 0, 0, 0, 0, 0) != -1)
    attempt(name, lambda: c.syscall(number, 0, 0, 0, 0, 0, 0) == -1 and ctypes.get_errno() not in (1, 38))
print("escaped", seen) if seen else print("contained")
