# time-out
while True: pass
