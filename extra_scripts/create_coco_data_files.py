from sslprep.legacy import run

if __name__ == "__main__":
    run(__file__)
