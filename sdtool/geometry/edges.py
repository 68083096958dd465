"""The edges of a mesh: which of them have no neighbour, and which have too many faces."""

import numpy as np


def directed_edges(faces: np.ndarray) -> np.ndarray:
    """(3 F, 2) int64: the edges of faces (F, 3), three a face, in its turn."""
    return faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)


def edge_uses(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`edge` (3 F,) int64 number of the undirected edge of each directed one; and of each undirected edge
    how many faces run along it, (E,) int64, and how many more in one sense than in the other, (E,) int64."""
    edges = directed_edges(faces)
    rising = edges[:, 0] < edges[:, 1]
    keys = np.where(rising, edges[:, 0] << 32 | edges[:, 1], edges[:, 1] << 32 | edges[:, 0])
    _, edge, uses = np.unique(keys, return_inverse=True, return_counts=True)
    edge = edge.reshape(-1)
    turns = np.bincount(edge, np.where(rising, 1, -1), len(uses))
    return edge, uses, np.abs(np.rint(turns)).astype(np.int64)


def edge_faults(faces: np.ndarray) -> tuple[int, int]:
    """How many edges are not used as often in one sense as in the other, and how many have more than two
    faces. A mesh without the first is closed; without either it is a manifold but for its vertices."""
    _, uses, surplus = edge_uses(faces)
    return int((surplus > 0).sum()), int((uses > 2).sum())


def turned_alike(faces: np.ndarray) -> np.ndarray:
    """Faces (F, 3) that are neighbours turn alike, as most of each part do; one-sided parts stay.

    Neighbours share an edge that no third face has.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edge, uses, surplus = edge_uses(faces)
    if not ((uses == 2) & (surplus == 2)).any():
        return faces
    order = np.argsort(edge, kind="stable")
    paired = order[(uses == 2)[edge[order]]].reshape(-1, 2)
    one, other = (paired // 3).T
    against = surplus[edge[paired[:, 0]]] == 2
    # Each face is there twice, as it is and turned: what has to go together is connected.
    count = len(faces)
    starts = np.concatenate([one, one + count])
    ends = np.concatenate([other + count * against, other + count * ~against])
    graph = coo_matrix((np.ones(len(starts), bool), (starts, ends)), (2 * count, 2 * count))
    number, label = connected_components(graph, directed=False)
    kept, turned = label[:count], label[count:]
    votes = np.bincount(kept, minlength=number)
    first = np.minimum(kept, turned)  # of two ways that are equal, the same one everywhere
    better = (votes[turned] > votes[kept]) | ((votes[turned] == votes[kept]) & (turned == first))
    flip = better & (kept != turned)
    return np.where(flip[:, None], faces[:, ::-1], faces).astype(faces.dtype)


def thinned(faces: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Without what is too much at edges whose faces, two or more, do not pair off, each with one turned as it
    is on the other side: first what hangs on by no other edge, then the smallest."""
    for _ in range(len(faces)):
        edge, uses, surplus = edge_uses(faces)
        wrong = (uses > 1) & (surplus > 0)
        if not wrong.any():
            break
        at = wrong[edge]
        owner = np.nonzero(at)[0] // 3
        loose = (uses[edge] == 1).reshape(-1, 3).sum(axis=1)
        order = np.lexsort(
            [areas[owner], -loose[owner], edge[at]]
        )  # by edge, and there the worst first
        _, first = np.unique(edge[at][order], return_index=True)
        gone = np.zeros(len(faces), bool)
        gone[owner[order[first]]] = True
        faces, areas = faces[~gone], areas[~gone]
    return faces


EVEN = (21, 11, 7)  # what (0, 1, 2), (1, 2, 0) and (2, 0, 1) are with the weights 1, 3 and 9


def without_sheets(faces: np.ndarray) -> np.ndarray:
    """Without faces that lie back to back, in pairs: between them there is nothing. But a wall that the rest
    needs, as of a recess that was stored for both its sides, is one face of each pair, and stays.

    It is needed if more edges would lie open without it than with it, or if it is closed by itself.
    """
    _, group = np.unique(np.sort(faces, axis=1), axis=0, return_inverse=True)
    group = group.reshape(-1)
    rising = np.isin(np.argsort(faces, axis=1) @ [1, 3, 9], EVEN)
    pairs = np.minimum(*(np.bincount(group[s], minlength=len(faces)) for s in (rising, ~rising)))
    if not pairs.any():
        return faces
    gone = np.zeros(len(faces), bool)
    for same in (rising, ~rising):
        mine = np.nonzero(same)[0]
        mine = mine[np.argsort(group[mine], kind="stable")]
        first = np.searchsorted(group[mine], group[mine])  # where its group begins
        gone[mine[np.arange(len(mine)) - first < pairs[group[mine]]]] = True
    odd = np.nonzero(gone & np.isin(group, group[~gone], invert=True))[0]
    walls = odd[np.unique(group[odd], return_index=True)[1]]  # one face of each
    gone[walls[_needed(faces[walls], faces[~gone])]] = False
    return faces[~gone]


def _needed(walls: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """(W,) bool: which of the faces `walls` (W, 3) close what the others leave open, or themselves; all that
    hang together by their edges alike."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(walls)
    edge, uses, _ = edge_uses(np.concatenate([walls, rest]))
    owner, mine = np.repeat(np.arange(count), 3), edge[: 3 * count]
    graph = coo_matrix((np.ones(3 * count, bool), (owner, count + mine)), (count + len(uses),) * 2)
    label = connected_components(graph, directed=False)[1][:count]
    own = np.bincount(mine, minlength=len(uses))
    border = own[mine] % 2 == 1  # once for each use: where it is odd, that is once nearly always
    is_open = (uses - own)[mine] % 2 == 1
    total = int(label.max(initial=-1)) + 1
    closed = np.bincount(label[owner], border & is_open, total)
    opened = np.bincount(label[owner], border & ~is_open, total)
    return ((closed > opened) | (closed + opened == 0))[label]
