@echo off
rem Runs this service: start, stop, restart or status. The server is made for Linux, so it runs in WSL 2 (wsl --install).
wsl.exe --cd "%~dp0." --exec ./%~n0 %*
