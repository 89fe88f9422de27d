# A stream is what a program prints. This runs one, and streams its lines.
rtlite pipe dwd23RWdwE --url http://127.0.0.1:8000 --key rts_dev -- sh -c 'for n in 1 2 3; do echo "line $n"; done'
