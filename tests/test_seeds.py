import hashlib

import torch

from composer.seeds import derive_seed, resume_stream, torch_generator


def test_a_seed_is_the_first_63_bits_of_a_hash():
    digest = hashlib.sha256(b"7/evaluation").hexdigest()
    assert derive_seed(7, "evaluation") == int(digest[:16], 16) // 2
    assert derive_seed(7, "evaluation") < 2**63


def test_seeds_and_streams_give_different_seeds():
    seeds = {derive_seed(seed, stream) for seed in range(50) for stream in ("env", "act", "")}
    assert len(seeds) == 150


def test_drawing_from_one_stream_does_not_change_another():
    alone = torch.rand(3, generator=torch_generator(0, "training"))
    evaluation, training = torch_generator(0, "evaluation"), torch_generator(0, "training")
    torch.rand(100, generator=evaluation)
    assert torch.equal(torch.rand(3, generator=training), alone)


def test_a_generator_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    torch.rand(3, generator=torch_generator(0, "training"))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_stream_goes_on_where_it_was():
    stream = torch_generator(0, "training")
    state, expected = stream.get_state(), torch.rand(3, generator=stream)
    resume_stream(stream, state)
    assert torch.equal(torch.rand(3, generator=stream), expected)


def test_the_state_of_another_kind_of_device_is_a_seed():
    stream, other = torch_generator(0, "training"), torch_generator(1, "training")
    for each in (stream, other):
        resume_stream(each, torch.arange(16, dtype=torch.uint8))
    assert torch.equal(stream.get_state(), other.get_state())
    resume_stream(other, torch.arange(1, 17, dtype=torch.uint8))
    assert not torch.equal(stream.get_state(), other.get_state())
