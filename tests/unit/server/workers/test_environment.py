from segtriton_server.workers.environment import worker_environment


def test_libraries_get_what_they_read() -> None:
    wanted = {
        "PATH": "/usr/bin",
        "LD_LIBRARY_PATH": "/usr/lib",
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": "/packages",
        "OMP_NUM_THREADS": "3",
        "CUDA_VISIBLE_DEVICES": "0",
        "CUDA_MPS_PIPE_DIRECTORY": "/tmp/mps",
        "NVIDIA_VISIBLE_DEVICES": "all",
        "MALLOC_TRIM_THRESHOLD_": "1",
    }

    assert worker_environment(wanted).items() >= wanted.items()


def test_what_nobody_named_stays_behind() -> None:
    secrets = {
        "SEGTRITON_ADMIN_KEY": "secret",
        "SEGTRITON_TOKEN_FILE": "/etc/token",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "NVIDIA_API_KEY": "secret",
        "PYTHON_KEYRING_TOKEN": "secret",
        "GITHUB_TOKEN": "secret",
        "path": "secret",
    }

    assert worker_environment(secrets) == worker_environment({})


def test_libraries_start_no_threads_of_their_own() -> None:
    assert worker_environment({})["OPENBLAS_NUM_THREADS"] == "1"
