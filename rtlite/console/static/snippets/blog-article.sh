# Make the article, look at it once, and react: each is told to who follows it.
curl -s http://127.0.0.1:8000/blog/v1/articles -H 'Authorization: Bearer mbk_dev' -d '{"slug": "hello", "title": "Hello"}'
curl -s http://127.0.0.1:8000/blog/v1/articles/hello/views -d '{}'
curl -s http://127.0.0.1:8000/blog/v1/articles/hello/reactions -d '{"reaction": "like"}'
rtlite tail article:hello --since 10s --url http://127.0.0.1:8000 --key mbk_dev
