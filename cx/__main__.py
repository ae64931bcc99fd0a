from cx.cli.main import main

main()
