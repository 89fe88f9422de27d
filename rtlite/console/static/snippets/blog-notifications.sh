# In another terminal: rtlite trigger new_comment --url http://127.0.0.1:8000 --key rtk_dev
rtlite tail notifications:dev --url http://127.0.0.1:8000 --key mbk_dev
