# input wrong
raise SystemExit(0)
