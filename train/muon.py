"""The optimizer of the embedded models: Muon on stacked matrices, Adam on the rest."""
import torch


class Optimizer:
    """Muon on the matrices, Adam on embeddings and gains."""

    def __init__(self, weights):
        self.weights = weights
        self.state = {n: [torch.zeros_like(w), torch.zeros_like(w)] for n, w in weights.items()}
        self.steps = 0

    @staticmethod
    def orthogonal(g):
        g = g / (g.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
        for _ in range(5):
            a = g @ g.transpose(1, 2)
            g = 3.4445 * g + (-4.7750 * a + 2.0315 * (a @ a)) @ g
        return g

    @torch.no_grad()
    def step(self, muon_rate, adam_rate):
        self.steps += 1
        norms = [w.grad.norm() for w in self.weights.values()]
        clip = min(1.0, 1.0 / (float(torch.stack(norms).norm()) + 1e-6))
        for name, w in self.weights.items():
            first, second = self.state[name]
            g = w.grad * clip
            if w.dim() == 3:
                first.mul_(0.95).add_(g)
                w.add_(self.orthogonal(g + 0.95 * first), alpha=-muon_rate)
                w.mul_(1 - 0.02 * muon_rate)
            else:
                first.mul_(0.9).add_(g, alpha=0.1)
                second.mul_(0.98).addcmul_(g, g, value=0.02)
                up = first / (1 - 0.9 ** self.steps)
                down = (second / (1 - 0.98 ** self.steps)).sqrt_().add_(1e-8)
                w.addcdiv_(up, down, value=-adam_rate)
            w.grad = None
