# crash time-out
x = 7
while True: x = x * x
