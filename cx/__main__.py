from cx.cli.start import main

main()
