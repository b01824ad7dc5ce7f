@echo off
rem Runs this service: start, stop, restart or status. The libraries of this package are for Linux: WSL 2 runs it (wsl --install).
wsl.exe --cd "%~dp0." --exec ./%~n0 %*
