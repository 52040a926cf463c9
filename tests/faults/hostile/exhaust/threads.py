# crash time-out
import threading, time
def work():
    while True: pass
for i in range(1000): threading.Thread(target=work).start()
